"""The study ``python -m benchmarks.studies.false_alarms``: allowed against real false alarms.

Streams of margins with known properties (``streams``) go in; a table of real rates comes out.
``methods`` learns thresholds, ``truth`` counts the alarms of any threshold, ``measure`` compares.
"""
