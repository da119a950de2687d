"""Estimates how often a rule alarms on ordinary frames, and the threshold for a wanted rate.

It counts what the user would count: alerts. The stream of margins is cut into clusters, each of
which is one alert at a low *base level* (``clusters``). The highest value at which a cluster would
still alert is its peak (``peaks``). The level that peaks reach as often as was asked for is the
threshold (``level``). All values are relative to a baseline (``baseline``), as in DSPOT (Siffer,
Fouque, Termier, Largouët, KDD 2017), so that light which changes over the day raises no alarm.

What alarms may be a real event. The estimate knows it, in a closed loop in which its own threshold
decides what alarms (``peaks``, ``level``).
"""

import math
from dataclasses import replace
from datetime import datetime
from typing import Final

import numpy as np

from edge.alerts.events import Rule
from edge.alerts.null.arrays import packed, unpacked
from edge.alerts.null.baseline import BLOCK_S, Baseline
from edge.alerts.null.busy import BusyShare
from edge.alerts.null.clump import VISIT, Clump
from edge.alerts.null.clusters import Cluster, Clusters
from edge.alerts.null.estimate import Asked, Estimate, Start, WatchedPeaks, found
from edge.alerts.null.hours import WatchedHours
from edge.alerts.null.level import Known, know
from edge.alerts.null.moves import LONGEST_EVENT_S, Moves
from edge.alerts.null.peaks import Peaks
from edge.alerts.null.reservoir import SIZE, Reservoir
from edge.alerts.visits import APART_S

# Share of samples that lie below the base level at first.
_BASE_SHARE: Final = 0.98
# The reservoir spans about a day at two samples a second, and all of it sets the base level.
_LONGEST_STRIDE: Final = 128
_VERSION: Final = 2
# Version 1 knew less: it is read, too.
_READ: Final = frozenset({1, 2})


class AlarmTail:
    """The null distribution of one rule on one camera, in bounded memory: 58 kB.

    Args:
        rule: Condition under which margins become alerts; its threshold does not matter here.

    Attributes:
        highest: Largest threshold, above the baseline, at which ordinary frames have alerted since
            the start of the daemon.
    """

    def __init__(self, rule: Rule) -> None:
        self.highest = -math.inf
        self._baseline = Baseline()
        self._rule = rule
        self._clusters = Clusters(rule)
        self._bulk = Reservoir(_LONGEST_STRIDE)
        self._base: float | None = None
        self._last_at: float | None = None
        self._samples = 0
        self._watched_s = 0.0
        self._busy = BusyShare()
        self._peaks = Peaks()
        self._hours = WatchedHours()
        self._alerts = 0
        self._alerted_s: float | None = None  # for which the alert that runs has lasted
        self._clump = Clump()
        self._moves = Moves()
        self._known: Known | None = None

    @property
    def baseline(self) -> float:
        """Level of ordinary margins."""
        return self._baseline.level

    @property
    def samples(self) -> int:
        """Number of samples that it has learned from."""
        return self._samples

    def observe(
        self,
        margin: float,
        at: float,
        *,
        alerting: bool,
        threshold: float = math.inf,
        wall: float | None = None,
        still: bool = False,
    ) -> None:
        """Learn from one sample.

        Args:
            margin: Margin of the sample; finite.
            at: Monotonic seconds, not before those of the last sample.
            alerting: Whether the sample belongs to an alert, true or false.
            threshold: Threshold in force.
            wall: Seconds since the epoch; None where no hours are to be known.
            still: Whether nothing moved since the last sample.

        Raises:
            ValueError: The margin is not finite.
        """
        if not math.isfinite(margin):
            raise ValueError(f"expected a finite margin, found {margin}")
        passed_s = self._passed(at, still=still)
        self._busy.add(passed_s, alerting=alerting)
        self._watched_s += passed_s
        if alerting:
            begins = self._alerted_s is None
            self._alerts += begins
            self._clump.follow(self._watched_s, begins=begins)
        self._alerted_s = (self._alerted_s or 0.0) + passed_s if alerting else None
        an_event = alerting and not self._busy.is_the_scene
        if wall is not None:
            self._hours.follow(self._watched_s, wall)
        before = self.baseline
        self._follow(margin, passed_s, alerting=alerting, an_event=an_event)
        value = margin - before if self._samples else 0.0
        self._samples += 1
        statistic = self._clusters.push(value, self._rule.missing(passed_s) if still else 0)
        if not an_event and statistic > self.highest:
            self.highest = statistic
        if not an_event and (
            self._bulk.add(statistic) or (self._base is None and len(self._bulk) == SIZE)
        ):
            self._set_base()
        if self._base is not None:
            # An alert that shows the scene is no alert here: a prior far below it would never end.
            of_the_scene = alerting and not an_event
            ended = self._clusters.step(
                value, statistic, at, math.inf if of_the_scene else threshold - before,
                alert=self._alerts if an_event else 0, place=self._clump.alerts,
                lasted=(self._alerted_s or 0.0) > LONGEST_EVENT_S, still=still,
            )  # fmt: skip
            if ended is not None:
                self._keep(ended)

    def admit(self, peak: float, wall: float | None = None) -> None:
        """Learn from an alert that was wrong: it is ordinary.

        Args:
            peak: Level of the alert, above the baseline at that time.
            wall: Seconds since the epoch at which it began; None where that is not known.
        """
        if not self._peaks.admit(peak, self._hours.watched_s(wall)):
            self._keep(Cluster(peak), sure=True)

    def confirm(self, peak: float, wall: float | None = None) -> None:
        """Learn from an alert that was right: it counts no more. The arguments are ``admit``'s."""
        self._peaks.confirm(peak, self._hours.watched_s(wall))

    def estimate(
        self,
        per_day: float,
        *,
        even: bool = False,
        start: Start | None = None,
        at: datetime | None = None,
    ) -> Estimate | None:
        """Return the threshold for ``per_day`` false alarms a day; None if too little is known.

        Args:
            per_day: False alarms that are asked for, above 0.
            even: Whether each hour of the day has a share of its own.
            start: Side from which the threshold comes at first; None: the middle.
            at: Local time, aware, of the hour that it is for; None: no hours are to be known.
        """
        watched_s = self._watched_s
        self._known = None if self._base is None else know(self._peaks, watched_s, per_day)
        if self._known is None:
            return None
        seen, asked = WatchedPeaks(self._peaks, watched_s, self._hours), Asked(per_day, even, start)
        estimate = found(seen, self._known, asked, at)
        return replace(estimate, hysteresis=self._clusters.hysteresis(estimate.level))

    def rate(self, level: float) -> float | None:
        """Return the false alarms per day that reach a margin of ``level`` now.

        The rate comes from the last estimate; None where there is none. Below where the tail begins
        it is what was counted.
        """
        return None if self._known is None else self._known.rate(level - self.baseline)

    def to_bytes(self) -> bytes:
        """Return all that was learned."""
        facts = [
            math.nan if self._base is None else self._base, self._samples,
            self._watched_s, self._peaks.since_s, self._busy.share, self._busy.seconds,
        ]  # fmt: skip
        return packed(
            {
                "version": np.array(_VERSION),
                "facts": np.array(facts, np.float64),
                "baseline": np.array(self._baseline.state(), np.float64),
                "peaks": self._peaks.table,
                "bulk": self._bulk.state(),
                "hours": self._hours.state(),
                "clump": self._clump.state(),
            }
        )

    @classmethod
    def from_bytes(cls, rule: Rule, data: bytes) -> "AlarmTail":
        """Read what ``to_bytes`` wrote for the same rule.

        Raises:
            ValueError: The bytes are damaged, or another version wrote them.
        """
        tail, parts = cls(rule), unpacked(data)
        try:
            version = parts["version"]
            if version.shape or float(version) not in _READ:
                raise ValueError(f"expected version {_VERSION}, found {version}")
            facts, peaks, bulk = (parts[name] for name in ("facts", "peaks", "bulk"))
            if version == 1:  # the level first, and its number of samples was that of all
                baseline, facts = facts[:3:2], facts[1:]
            else:
                baseline = parts["baseline"]
        except KeyError as exc:
            raise ValueError(f"expected what a null distribution learned, found {exc!r}") from exc
        tail._bulk.restore(bulk)
        if "hours" in parts:
            tail._hours.restore(parts["hours"])
        whole = facts.shape == (6,) and baseline.shape in {(2,), (9,)}
        # The base level is NaN where there is none.
        if not whole or np.isinf(facts[0]) or not np.isfinite([*facts[1:], *baseline]).all():
            raise ValueError("expected what a null distribution learned, found other numbers")
        base, samples, watched_s, since_s, busy, busy_s = map(float, facts)
        if facts[1:].min() < 0 or since_s > watched_s:
            raise ValueError("expected what a null distribution learned, found other numbers")
        tail._baseline.restore(baseline.tolist())
        tail._samples = int(samples)
        tail._watched_s = watched_s
        tail._moves = Moves(watched_s)
        if "clump" in parts:
            tail._clump = Clump.of(parts["clump"], watched_s)
        tail._busy = BusyShare(busy, busy_s)
        tail._peaks.restore(peaks, since_s)
        if not math.isnan(base):
            tail._cut_at(base)
        return tail

    def _passed(self, at: float, *, still: bool) -> float:
        """Return the watched seconds since the last sample; a gap counts 0 and cuts a cluster."""
        passed_s = math.inf if self._last_at is None else at - self._last_at
        self._last_at = at
        if not self._rule.together(passed_s, still=still):
            ended = self._clusters.break_off()
            if ended is not None and ended.alerts:
                self._keep(ended)
            self._alerted_s = None
            # After a restart nobody knows how long it was.
            if self._samples and math.isfinite(passed_s) and passed_s >= APART_S:
                self._clump = Clump()
            self._clump.forget()
            return 0.0
        return passed_s

    def _follow(self, margin: float, passed_s: float, *, alerting: bool, an_event: bool) -> None:
        """Let the baseline follow, and begin anew where it has moved at once."""
        # Alerts again and again come from a level near the threshold, at which the stream now is.
        held = an_event and self._clump.alerts <= VISIT
        moved_s = self._baseline.follow(margin, passed_s, alerting=held)
        lasting = self._moves.lasting(self._watched_s)
        if lasting is not None:
            self._peaks.admit_between(*lasting)
        if moved_s:
            self._begin_anew()
            self._moves.add(self._watched_s, self._watched_s - moved_s - BLOCK_S)
        elif not alerting and self._clump.goes_on(self._watched_s):
            self._clump.pause(margin, 1, passed_s)
            if self._leaps():
                self._begin_anew()
                self._moves.add(self._watched_s)

    def _leaps(self) -> bool:
        """Move the baseline to what is between the alerts of a clump, if that is far from it.

        Somebody may have stayed there, and left. So the stream must still be there after the last
        alert, and these alerts are no more sure to be ordinary than others.
        """
        clump = self._clump
        if not clump.again(self._watched_s) or clump.level is None or clump.level_after is None:
            return False
        return self._baseline.leap(clump.level, clump.between_s, clump.level_after)

    def _begin_anew(self) -> None:
        """Go on at another level of the stream."""
        ended = self._clusters.break_off()
        if ended is not None:
            self._keep(ended)
        self._clump.forget()

    def _set_base(self) -> None:
        """Lower the base level to what the bulk says, where peaks have become rare.

        Peaks of a higher base level are incomplete, and forgotten.
        """
        base = math.nextafter(self._bulk.quantile(_BASE_SHARE), math.inf)
        if self._base is None or (base < self._base and self._peaks.are_rare(self._watched_s)):
            self._cut_at(base)
            self._peaks.clear(self._watched_s)

    def _cut_at(self, base: float) -> None:
        self._base = base
        apart_s = self._watched_s / self._samples if self._samples else math.inf
        self._clusters.cut_at(base, apart_s)

    def _keep(self, cluster: Cluster, *, sure: bool = False) -> None:
        if self._base is None or cluster.peak < self._base or cluster.within:
            return
        if self._peaks.is_full:
            base = self._peaks.make_room(self._watched_s)
            if base is not None:
                self._cut_at(base)
        self._peaks.add(cluster, self._watched_s, sure=sure)
