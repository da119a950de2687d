"""Video: the URL of a camera or file goes in, samples (int8 pixels with their arrival) come out.

``sources`` give packets, ``sampler`` chooses, ``decode`` and ``preprocess`` make pixels,
``camera`` runs all of it in a thread that tries again for ever.
"""
