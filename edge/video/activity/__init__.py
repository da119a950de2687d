"""Tells whether something moves: by what packets cost (``costs``), by pictures (``changes``).

In: headers of packets, and now and then a decoded picture.
Out: ``ActivityGate`` (``edge.video.activity.gate``), open or closed.
"""
