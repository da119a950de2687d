"""Keeps the embeddings of samples on the device for search: the local index (docs/search.md).

::

    codes      vectors <-> bits that estimate cosines (pure)
    segment    one append-only file of rows, and its codes
    store      the folder of one model: cameras, segments, limits
    writer     the thread between the daemon's loop and the disk
    scan       two stages: codes choose blocks, rows give the scores
"""
