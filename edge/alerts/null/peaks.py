"""Keeps the peaks of clusters in bounded memory; older ones count less.

Letters in shapes: n peaks.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.alerts.null.clump import VISIT
from edge.alerts.null.clusters import Cluster
from edge.alerts.null.moves import LONGEST_EVENT_S
from edge.alerts.visits import APART_S

DAY_S: Final = 86_400.0

# Number of peaks that are kept. When the memory is full, the base level rises to their median. If
# that would leave fewer than this many a day, the older half is forgotten instead.
_MOST_PEAKS: Final = 2048
_FEWEST_A_DAY: Final = 100.0
# Fewer peaks a day mean that the stream has become quieter for good; a quiet Sunday has more.
_RARE_A_DAY: Final = 10.0
HALF_LIFE_S: Final = 14 * DAY_S
"""Watched time after which a peak counts half, in seconds."""

_ROWS: Final = 5
_MOST_ALERTS: Final = 255


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
        # Rows: peak, limit, days watched by then; and alerts in it, whether it is sure to be
        # ordinary.
        self._values = np.empty((3, _MOST_PEAKS), np.float32)
        self._marks = np.empty((2, _MOST_PEAKS), np.uint8)
        self._count = 0

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
            sure = sure or cluster.lasted or cluster.place > VISIT
            if not sure and cluster.place > alerts:
                return  # of a visit that is counted already
            alerts = alerts if sure else 1
        days = watched_s / DAY_S
        self._values[:, self._count] = cluster.peak, cluster.limit, days
        self._marks[:, self._count] = min(alerts, _MOST_ALERTS), sure or not alerts
        self._count += 1

    def admit(self, peak: float, began_s: float | None = None) -> bool:
        """Note that an alert was wrong.

        Args:
            peak: Level of the alert, above the baseline.
            began_s: Watched time at which it began; None where that is not known.

        Returns:
            Whether the peak of its cluster is kept.
        """
        place = self._place(peak, began_s)
        if place is None:
            return False
        self._marks[1, place] = 1
        return True

    def confirm(self, peak: float, began_s: float | None = None) -> None:
        """Note that an alert was right: forget its peak. The arguments are those of ``admit``."""
        place = self._place(peak, began_s)
        if place is not None:
            self._retain(np.arange(self._count) != place)

    def _place(self, peak: float, began_s: float | None) -> int | None:
        """Return where the cluster of an alert is kept; None where it is not.

        The nearest in time is, which of a visit is its first. Where the time is not known, it is
        the highest that ``peak`` reaches: persistence makes a cluster's peak smaller.
        """
        peaks, _, days, alerts, sure = self.table
        if began_s is None:
            found = np.flatnonzero((alerts > 0) & (sure == 0) & (peaks <= peak))
            return int(found[np.argmax(peaks[found])]) if len(found) else None
        after_s = days.astype(np.float64) * DAY_S - began_s
        near = (after_s >= -APART_S) & (after_s <= LONGEST_EVENT_S + APART_S)
        found = np.flatnonzero((alerts > 0) & near)
        return int(found[np.argmin(np.abs(after_s[found]))]) if len(found) else None

    def admit_between(self, since_s: float, until_s: float) -> None:
        """Note that the alerts of this watched time came with another level of the stream."""
        came = (self._days >= since_s / DAY_S) & (self._days <= until_s / DAY_S)
        self._marks[1, : self._count][came] = 1

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
        base: float | None = float(np.median(self._values[0]))
        kept = self._values[0] >= np.float32(base)
        # Where many peaks are equal, the lower half may be empty.
        if self._count / watched_days < 2 * _FEWEST_A_DAY or kept.all():
            base = None
            kept = np.arange(_MOST_PEAKS) >= _MOST_PEAKS // 2
            self.since_s = float(self._values[2, _MOST_PEAKS // 2]) * DAY_S
        self._retain(kept)
        return base

    def are_rare(self, watched_s: float) -> bool:
        """Whether hardly any peak came in the last watched day."""
        since_s = max(self.since_s, watched_s - DAY_S)
        came = int((self._days >= since_s / DAY_S).sum())
        return came < _RARE_A_DAY * (watched_s - since_s) / DAY_S

    def weights(self, watched_s: float) -> NDArray[np.float64]:
        """Return the weights by age, 0..1, float64 [n]."""
        age_s = watched_s - self._days.astype(np.float64) * DAY_S
        return np.asarray(0.5 ** (age_s / HALF_LIFE_S))

    def exposure_days(self, watched_s: float) -> float:
        """Return the watched days that the peaks come from, weighted by age as the peaks are."""
        watched = (watched_s - self.since_s) / HALF_LIFE_S
        return -math.expm1(-watched * math.log(2)) * HALF_LIFE_S / math.log(2) / DAY_S

    @property
    def table(self) -> NDArray[np.float32]:
        """Peaks, limits, days watched by then, alerts, and whether sure (0, 1), float32 [5, n]."""
        rows = self._values[:, : self._count], self._marks[:, : self._count]
        return np.concatenate(rows, dtype=np.float32)

    @property
    def _days(self) -> NDArray[np.float32]:
        return self._values[2, : self._count]

    def _retain(self, kept: NDArray[np.bool_]) -> None:
        """Keep the peaks of which ``kept`` [n] says so."""
        count = int(kept.sum())
        for rows in (self._values, self._marks):
            rows[:, :count] = rows[:, : len(kept)][:, kept]
        self._count = count

    def restore(self, table: NDArray[np.float32], since_s: float) -> None:
        """Take over an earlier ``table`` and ``since_s``.

        Version 1 had the first three rows, and only peaks that are sure.

        Raises:
            ValueError: The table has another shape.
        """
        if table.ndim != 2 or len(table) not in {3, _ROWS} or table.shape[1] > _MOST_PEAKS:
            raise ValueError("expected what a null distribution learned, found other numbers")
        self._count = table.shape[1]
        self._values[:, : self._count] = table[:3]
        marks = table[3:] if len(table) == _ROWS else np.array([[0.0], [1.0]], np.float32)
        self._marks[:, : self._count] = np.nan_to_num(marks).clip(0, _MOST_ALERTS)
        self.since_s = since_s
