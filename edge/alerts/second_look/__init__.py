"""The second look: before an alert is told, something slower may look at it again.

A detector says where it is, a clip model whether it happened. ``NoSecondLook`` is the trivial one.
"""

from edge.alerts.second_look.base import Box, Finding, NoSecondLook, SecondLook

__all__ = ["Box", "Finding", "NoSecondLook", "SecondLook"]
