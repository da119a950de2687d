"""Counts the alerts that follow each other within minutes: they have one cause. Pure.

What lies between them tells a cause that is over each time (somebody who comes back) from another
level of the whole stream (auto-exposure, a lorry that parks).
"""

import math
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from edge.alerts.null.baseline import BLOCK_S
from edge.alerts.visits import APART_S

VISIT: Final = 2
"""Most alerts of a clump that one real event may cause."""
_LONGEST_S: Final = 960.0  # margins of longer ago say nothing about the level now
_AFTER_S: Final = 10.0  # after an alert, the margins of so long say what stayed


@dataclass(slots=True)
class Clump:
    """The clump of alerts that runs, or ran last.

    Attributes:
        alerts: Number of its alerts.
        last_s: Watched seconds at which an alert ran last.
        total: Sum of the margins between its alerts.
        count: Their number.
        between_s: Seconds that they took.
        after: Sum of those after its last alert.
        after_count: Their number.
        after_s: Seconds that they took.
    """

    alerts: int = 0
    last_s: float = -math.inf
    total: float = 0.0
    count: int = 0
    between_s: float = 0.0
    after: float = 0.0
    after_count: int = 0
    after_s: float = 0.0

    @property
    def level(self) -> float | None:
        """Mean of the margins between its alerts; None where that is of less than a minute."""
        return self.total / self.count if self.between_s >= BLOCK_S else None

    @property
    def level_after(self) -> float | None:
        """Mean of the margins since its last alert; None before ten seconds of them."""
        return self.after / self.after_count if self.after_s >= _AFTER_S else None

    @classmethod
    def of(cls, state: NDArray[np.float64], watched_s: float) -> Self:
        """Return the clump of an earlier ``state()``; what was between its alerts is forgotten.

        Args:
            state: The state.
            watched_s: Time watched so far, in seconds.

        Raises:
            ValueError: No clump has this state.
        """
        if state.shape != (2,) or not 0 <= state[0] < math.inf or not state[1] <= watched_s:
            raise ValueError("expected what a null distribution learned, found other numbers")
        alerts, last_s = map(float, state)
        return cls(int(alerts), last_s)

    def state(self) -> NDArray[np.float64]:
        """Return what must survive a restart, float64 [2]."""
        return np.array([self.alerts, self.last_s], np.float64)

    def follow(self, watched_s: float, *, begins: bool) -> None:
        """Go on with an alert that runs.

        Args:
            watched_s: Time watched so far, in seconds.
            begins: Whether it has just begun.
        """
        if begins:
            new = not self.goes_on(watched_s)
            self.alerts = 1 if new else self.alerts + 1
            if new or self.between_s > _LONGEST_S:
                self.forget()
            self._forget_after()
        self.last_s = watched_s

    def pause(self, total: float, count: int, seconds: float) -> None:
        """Take margins that belong to no alert, while the clump goes on: their sum and number."""
        self.total += total
        self.count += count
        self.between_s += seconds
        self.after += total
        self.after_count += count
        self.after_s += seconds

    def forget(self) -> None:
        """Forget the margins so far."""
        self.total, self.count, self.between_s = 0.0, 0, 0.0
        self._forget_after()

    def goes_on(self, watched_s: float) -> bool:
        """Return whether an alert that began now would belong to it."""
        return watched_s - self.last_s < APART_S

    def again(self, watched_s: float) -> bool:
        """Return whether alerts come again and again now."""
        return self.alerts >= VISIT and self.goes_on(watched_s)

    def _forget_after(self) -> None:
        self.after, self.after_count, self.after_s = 0.0, 0, 0.0
