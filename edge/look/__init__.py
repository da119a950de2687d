"""The second look: before an alert is told, something slower may look at it again.

A detector says where it is, a clip model whether it happened. ``no_second_look`` is the trivial one.
"""

from edge.look.base import Box, Finding, SecondLook, no_second_look

__all__ = ["Box", "Finding", "SecondLook", "no_second_look"]
