"""Takes a second look before an alert starts: a slower model confirms or denies it.

The sample that would start the alert goes in; a finding comes out. A detector finds where the thing
is, and a clip model decides whether it happened. ``NoSecondLook`` confirms every alert.
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
