"""Hours of a daemon under faults: cameras and a broker that fail by seed go in; slopes come out.

``faults`` draws what fails and when, ``peers`` are what the daemon talks to, ``process`` reads what
it holds, ``slope`` fits its growth, and ``__main__`` writes ``soak.json`` and ``soak.png``.
"""
