"""Decides about alerts: a camera's samples go in, messages about alerts come out.

``pipeline`` runs all cameras, and ``watch`` runs all rules of one camera. ``conditions`` says when
a rule is on, ``threshold`` and ``null`` learn what is ordinary, ``events`` is the state machine of
an alert, ``second_look`` confirms its start, and ``messages`` writes what happened.
"""
