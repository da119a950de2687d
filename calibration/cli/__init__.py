"""The command line ``edge-calibrate``: arguments go in, tables, reports and changed files come out.

``evaluate`` and ``prompt`` are its commands, ``options`` what they share, ``tables`` and ``report``
what they show.
"""
