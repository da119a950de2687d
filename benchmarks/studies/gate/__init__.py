"""What the activity gate lets through, and what it saves: ``python -m benchmarks.studies.gate``.

In: the labelled clips of ``../shared/footage`` and a synthetic person far away.
Out: events that came through, pictures decoded and CPU of each scene in each variant.
"""
