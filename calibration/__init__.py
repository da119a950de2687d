"""Calibration: labelled clips go in; reports, sharpened rules and frames for INT8 come out.

``replay`` runs rules over clips, ``judge`` compares alerts with labels. ``sharpen`` weighs
sentences by examples, ``edit`` writes weights into a configuration. ``cli`` is ``edge-calibrate``.
"""
