"""Keeps the peaks of clusters in bounded memory; older ones count less.

Letters in shapes: n peaks.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

DAY_S: Final = 86_400.0

# Number of peaks that are kept. When the memory is full, the base level rises to their median. If
# that would leave fewer than this many a day, the older half is forgotten instead.
_MOST_PEAKS: Final = 2048
_FEWEST_A_DAY: Final = 100.0
# Watched time after which a peak counts half.
_HALF_LIFE_S: Final = 14 * DAY_S


class Peaks:
    """The newest peaks, each with its limit and the watched time at which it came.

    Attributes:
        since_s: Watched seconds from which on the list of peaks is complete.
    """

    def __init__(self) -> None:
        self.since_s = 0.0
        self._table = np.empty((3, _MOST_PEAKS), np.float32)  # peak, limit, days watched by then
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another peak."""
        return self._count == _MOST_PEAKS

    def add(self, peak: float, limit: float, watched_s: float) -> None:
        """Keep a peak; there must be room.

        Args:
            peak: The peak, above the baseline.
            limit: Lowest threshold in force during its cluster; infinity for none.
            watched_s: Time watched so far, in seconds.
        """
        self._table[:, self._count] = peak, limit, watched_s / DAY_S
        self._count += 1

    def clear(self, watched_s: float) -> None:
        """Forget all peaks: the list is complete from ``watched_s`` on."""
        self._count = 0
        self.since_s = watched_s

    def make_room(self, watched_s: float) -> float | None:
        """Forget about half of the peaks of a full memory.

        Returns:
            The new base level, where the lower half is forgotten; None where the older half is.
        """
        watched_days = (watched_s - self.since_s) / DAY_S
        base = None
        if self._count / watched_days >= 2 * _FEWEST_A_DAY:
            base = float(np.median(self._table[0]))
            kept = self._table[0] >= np.float32(base)
        else:
            kept = np.arange(_MOST_PEAKS) >= _MOST_PEAKS // 2
            self.since_s = float(self._table[2, _MOST_PEAKS // 2]) * DAY_S
        self._count = int(kept.sum())
        self._table[:, : self._count] = self._table[:, kept]
        return base

    def weighted(self, base: float, watched_s: float) -> tuple[NDArray[np.float64], ...]:
        """Return excesses over ``base``, limits over ``base``, weights by age; float64 [n] each."""
        peaks, limits, days = self.table.astype(np.float64)
        age_s = watched_s - days * DAY_S
        return np.maximum(0.0, peaks - base), limits - base, 0.5 ** (age_s / _HALF_LIFE_S)

    def exposure_days(self, watched_s: float) -> float:
        """Return the watched days that the peaks come from, weighted by age as the peaks are."""
        watched = (watched_s - self.since_s) / _HALF_LIFE_S
        return -math.expm1(-watched * math.log(2)) * _HALF_LIFE_S / math.log(2) / DAY_S

    @property
    def table(self) -> NDArray[np.float32]:
        """Peaks, limits, and days watched at each, float32 [3, n]."""
        return self._table[:, : self._count]

    def restore(self, table: NDArray[np.float32], since_s: float) -> None:
        """Take over an earlier ``table`` and ``since_s``.

        Raises:
            ValueError: The table has another shape.
        """
        if table.ndim != 2 or len(table) != 3 or table.shape[1] > _MOST_PEAKS:
            raise ValueError("expected what a null distribution learned, found other numbers")
        self._count = table.shape[1]
        self._table[:, : self._count] = table
        self.since_s = since_s
