"""Keeps the peaks of clusters in bounded memory; older ones count less.

Letters in shapes: n peaks.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.alerts.null.clusters import Cluster

DAY_S: Final = 86_400.0

# Number of peaks that are kept. When the memory is full, the base level rises to their median. If
# that would leave fewer than this many a day, the older half is forgotten instead.
_MOST_PEAKS: Final = 2048
_FEWEST_A_DAY: Final = 100.0
# Fewer peaks a day mean that the stream has become quieter for good; a quiet Sunday has more.
_RARE_A_DAY: Final = 10.0
HALF_LIFE_S: Final = 14 * DAY_S
"""Watched time after which a peak counts half, in seconds."""

CLUMP_S: Final = 600.0
"""Alerts that follow each other within this watched time, in seconds, have one cause."""
VISIT: Final = 2
"""Most alerts of a clump that one real event may cause."""
_ROWS: Final = 5


class Peaks:
    """The newest peaks, each with what is known about it.

    A cluster in which the daemon alerted may be a real event. It is *unsure*: it neither teaches
    how the tail goes on, nor is it forgotten when alarms are counted: a visit that alerts twice
    within minutes is one alarm. Sure to be ordinary are the clusters below the
    threshold, and of the others: what a clump has beyond that, what lasted too long for an event,
    what came with another level of the whole stream, and what a person called wrong.

    Attributes:
        since_s: Watched seconds from which on the list of peaks is complete.
    """

    def __init__(self) -> None:
        self.since_s = 0.0
        # Rows: peak, limit, days watched by then, alerts in it, whether it is sure to be ordinary.
        self._table = np.empty((_ROWS, _MOST_PEAKS), np.float32)
        self._count = 0
        self._alerted_s = -math.inf  # watched time of the last cluster with an alert
        self._clump = 0  # alerts of the clump that it belongs to

    def __len__(self) -> int:
        return self._count

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another peak."""
        return self._count == _MOST_PEAKS

    def add(self, cluster: Cluster, watched_s: float, *, sure: bool = False) -> None:
        """Keep the peak of a cluster; there must be room.

        Args:
            cluster: The cluster.
            watched_s: Time watched so far, in seconds.
            sure: Whether it is known to be ordinary although the daemon alerted.
        """
        alerts = cluster.alerts
        if alerts:
            begins = watched_s - self._alerted_s >= CLUMP_S
            self._clump = alerts if begins else self._clump + alerts
            self._alerted_s = watched_s
            sure = sure or cluster.lasted or self._clump > VISIT
            if not sure and not begins:
                return  # of a visit that is counted already
            alerts = alerts if sure else 1
        days = watched_s / DAY_S
        self._table[:, self._count] = cluster.peak, cluster.limit, days, alerts, sure or not alerts
        self._count += 1

    def admit(self, peak: float) -> bool:
        """Note that an alert was wrong.

        Args:
            peak: Largest value of the alert, above the baseline.

        Returns:
            Whether the peak of its cluster is kept; persistence makes it smaller than ``peak``.
        """
        unsure = np.flatnonzero((self.table[4] == 0) & (self.table[0] <= peak))
        if not len(unsure):
            return False
        self._table[4, unsure[np.argmax(self._table[0, unsure])]] = 1
        return True

    def admit_since(self, watched_s: float) -> None:
        """Note that the alerts since ``watched_s`` came with another level of the stream."""
        self._table[4, : self._count][self.table[2] >= watched_s / DAY_S] = 1

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
        base: float | None = float(np.median(self._table[0]))
        kept = self._table[0] >= np.float32(base)
        # Where many peaks are equal, the lower half may be empty.
        if self._count / watched_days < 2 * _FEWEST_A_DAY or kept.all():
            base = None
            kept = np.arange(_MOST_PEAKS) >= _MOST_PEAKS // 2
            self.since_s = float(self._table[2, _MOST_PEAKS // 2]) * DAY_S
        self._count = int(kept.sum())
        self._table[:, : self._count] = self._table[:, kept]
        return base

    def are_rare(self, watched_s: float) -> bool:
        """Whether hardly any peak came in the last watched day."""
        since_s = max(self.since_s, watched_s - DAY_S)
        came = int((self.table[2] >= since_s / DAY_S).sum())
        return came < _RARE_A_DAY * (watched_s - since_s) / DAY_S

    def weights(self, watched_s: float) -> NDArray[np.float64]:
        """Return the weights by age, 0..1, float64 [n]."""
        age_s = watched_s - self.table[2].astype(np.float64) * DAY_S
        return np.asarray(0.5 ** (age_s / HALF_LIFE_S))

    def exposure_days(self, watched_s: float) -> float:
        """Return the watched days that the peaks come from, weighted by age as the peaks are."""
        watched = (watched_s - self.since_s) / HALF_LIFE_S
        return -math.expm1(-watched * math.log(2)) * HALF_LIFE_S / math.log(2) / DAY_S

    @property
    def table(self) -> NDArray[np.float32]:
        """Peaks, limits, days watched by then, alerts, and whether sure (0, 1), float32 [5, n]."""
        return self._table[:, : self._count]

    def restore(self, table: NDArray[np.float32], since_s: float) -> None:
        """Take over an earlier ``table`` and ``since_s``.

        Version 1 had the first three rows, and only peaks that are sure.

        Raises:
            ValueError: The table has another shape.
        """
        if table.ndim != 2 or len(table) not in {3, _ROWS} or table.shape[1] > _MOST_PEAKS:
            raise ValueError("expected what a null distribution learned, found other numbers")
        self._count = table.shape[1]
        self._table[3, : self._count], self._table[4, : self._count] = 0, 1
        self._table[: len(table), : self._count] = table
        self.since_s = since_s
