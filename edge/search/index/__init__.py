"""The local index: the embeddings of every sample, kept on the device for search (docs/search.md).

::

    codes      vectors <-> bits that guess cosines (pure)
    segment    one file of rows, append-only, and its codes
    store      the folder of one model: cameras, segments, limits
    writer     the thread between the daemon's loop and the disk
    scan       two stages: codes choose blocks, rows give the scores
"""
