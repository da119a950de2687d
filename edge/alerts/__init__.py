"""Alerts: the margins of one camera's sample go in, alerts begin, go on and end.

``threshold`` and ``null`` learn what is ordinary, ``events`` is the state machine, ``watch`` runs
it for all rules of a camera, ``second_look`` confirms a start, ``messages`` writes what happened.
"""
