"""The study ``python -m benchmarks.studies.decisions``: how far alert decisions move.

Labelled clips go in; a table by version of the clip and by method of deciding comes out.
``versions`` scores each clip in several versions, ``methods`` decides, ``changes`` counts which
decisions differ.
"""
