"""Defines what a gate says of itself, as plain data."""

from dataclasses import dataclass
from typing import Final, Literal

GateState = Literal["off", "unreadable", "learning", "noisy", "moving", "still"]


@dataclass(frozen=True, slots=True)
class GateHealth:
    """Health of an activity gate.

    Attributes:
        state: Why the gate is open; ``still``: it is closed; ``off``: there is none.
        share: Share of the time that it was open, over about ten minutes, 0..1.
    """

    state: GateState
    share: float


GATE_OFF: Final = GateHealth("off", 1.0)
