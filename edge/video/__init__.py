"""Turns the video of a camera or file (a URL) into samples: int8 pixels with their arrival.

``sources`` give packets, ``sampler`` chooses among them, ``decode`` and ``preprocess`` make pixels.
``camera`` runs all of this in a thread, which reconnects for ever; ``worker`` is what the daemon
sees of it.
"""
