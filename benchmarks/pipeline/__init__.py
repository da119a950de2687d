"""The measurement of ``edge-bench pipeline``: a frame's whole way from the camera to the broker.

A bundle and a clip or a camera go in; times per stage come out. ``stages`` times one stage after
the other, ``path`` compares a frame's way to its embedding with the bare engine, ``live`` runs the
daemon itself.
"""
