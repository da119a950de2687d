"""The second look: before an alert starts, a slower model may confirm or deny it.

A detector says where the thing is, a clip model whether it happened. ``NoSecondLook`` confirms all.
"""

from edge.alerts.second_look.base import (
    Box,
    Confirm,
    Finding,
    NoSecondLook,
    SecondLook,
    confirm_all,
)

__all__ = ["Box", "Confirm", "Finding", "NoSecondLook", "SecondLook", "confirm_all"]
