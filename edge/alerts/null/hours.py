"""Remembers at which wall time a stream was watched, so that peaks have an hour of the day.

Peaks are dated by watched time, which stands still while nothing is watched. Between two gaps,
watched time and wall time run alike. So a few *stretches*, each with both times of its beginning,
say the wall time of every peak.

A week has 48 *hours of the week* here: those of a working day (0 to 23), and those of a Saturday or
Sunday (24 to 47). Letters in shapes: n peaks or times.
"""

import math
from datetime import datetime, tzinfo
from typing import Final

import numpy as np
from numpy.typing import NDArray

HOURS: Final = 48
"""Number of hours of the week."""

# Wall time may be ahead of watched time by so much before a new stretch begins.
_SLACK_S: Final = 300.0
_MOST_STRETCHES: Final = 48
_LATEST: Final = 1e11  # seconds since the epoch; later clocks are damage
# Time zones differ by quarters of an hour.
_QUARTER_S: Final = 900.0
_STEP_S: Final = 300.0
_SATURDAY: Final = 5


def hour_of(at: datetime) -> int:
    """Return the hour of the week of a local time, 0 to 47."""
    return at.hour + (HOURS // 2 if at.weekday() >= _SATURDAY else 0)


class WatchedHours:
    """Wall time of what was watched, in some 800 bytes. The oldest stretches are forgotten."""

    def __init__(self) -> None:
        self._begins: list[tuple[float, float]] = []  # watched seconds, wall seconds
        self._ahead = math.nan

    def follow(self, watched_s: float, wall: float) -> None:
        """Note that it was ``wall``, in seconds since the epoch, at a watched time."""
        if abs(wall - watched_s - self._ahead) <= _SLACK_S:
            return  # as nearly always
        if self._begins and self._begins[-1][0] == watched_s:
            self._begins.pop()
        self._begins = [*self._begins[1 - _MOST_STRETCHES :], (watched_s, wall)]
        self._ahead = wall - watched_s

    def watched_s(self, wall: float | None) -> float | None:
        """Return the watched time at ``wall``, seconds since the epoch; None if unknown."""
        for watched_s, began in reversed(self._begins):
            if wall is not None and began <= wall:
                return watched_s + wall - began
        return None

    def began_s(self) -> float:
        """Return the watched time from which on wall times are known; infinity for none."""
        return self._begins[0][0] if self._begins else math.inf

    def places(
        self, watched_s: NDArray[np.float64], zone: tzinfo
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return hours of the week and calendar days, int64 [n], of watched times [n].

        None of them may be before ``began_s``.
        """
        starts, walls = np.array(self._begins).T
        stretch = np.searchsorted(starts, watched_s, side="right") - 1
        quarters, which = np.unique(
            (walls[stretch] + watched_s - starts[stretch]) // _QUARTER_S, return_inverse=True
        )
        moments = [datetime.fromtimestamp(one * _QUARTER_S, zone) for one in quarters.tolist()]
        hours = np.array([hour_of(moment) for moment in moments], np.int64)
        days = np.array([moment.toordinal() for moment in moments], np.int64)
        return hours[which], days[which]

    def times(self, since_s: float, until_s: float) -> NDArray[np.float64]:
        """Return watched times, evenly spaced, each of which stands for as much time."""
        count = max(1, math.ceil((until_s - since_s) / _STEP_S))
        return since_s + (np.arange(count) + 0.5) * (until_s - since_s) / count

    def state(self) -> NDArray[np.float64]:
        """Return what must survive a restart, float64 [2, n]."""
        return np.array(self._begins, np.float64).reshape(-1, 2).T

    def restore(self, state: NDArray[np.float64]) -> None:
        """Take over an earlier ``state()``. The next sample begins a stretch, or goes on.

        Raises:
            ValueError: No stretches have this state.
        """
        sound = state.ndim == 2 and len(state) == 2 and state.shape[1] <= _MOST_STRETCHES
        if not sound or not ((state >= 0) & (state < _LATEST)).all():
            raise ValueError("expected the hours of a null distribution, found other numbers")
        if (np.diff(state[0]) <= 0).any():
            raise ValueError("expected hours in order, found some that are not")
        self._begins = [(float(watched), float(wall)) for watched, wall in state.T]
        if self._begins:
            self._ahead = self._begins[-1][1] - self._begins[-1][0]
