"""The study ``python -m benchmarks.studies.index``: cost and recall of the local index.

Embeddings of synthetic cameras go in; times, sizes and recall come out as JSON. ``world`` makes the
embeddings and the sentences, ``build`` writes an index of them, ``searches`` searches in it.
"""
