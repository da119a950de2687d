"""The study ``python -m benchmarks.studies.false_alarms``: asked against measured false alarms.

``makers`` and ``recorded`` make days of margins, and ``streams`` names them. ``closed`` runs the
daemon's calibration on them in closed loop, which ``quick`` makes fast; ``truth`` counts the alarms
of any threshold, ``methods`` has the others, ``summary`` the tables and the plot.
"""
