"""Takes quiet stretches of a stream at once: what the daemon learns sample by sample, in less time.

While no alert runs, the parts of an ``AlarmTail`` do simple sums. Each class here is such a part
that can also take an array of margins; where anything happens (a cluster, a jump, an alert, a new
estimate) the daemon's own code runs. The result is the same but for the order of roundings, which
``tests/benchmarks/studies/false_alarms/test_quick.py`` checks.

Letters in shapes: n samples.
"""

import math
from dataclasses import replace
from datetime import UTC
from functools import reduce
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from benchmarks.studies.false_alarms.makers import FPS
from edge.alerts.events import EventMachine, Rule
from edge.alerts.null import Start
from edge.alerts.null.alarms import AlarmTail
from edge.alerts.null.baseline import BLOCK_S, Baseline
from edge.alerts.null.busy import BusyShare
from edge.alerts.null.clusters import Clusters
from edge.alerts.null.reservoir import SIZE, Reservoir
from edge.alerts.threshold import EVERYWHERE, Calibration
from edge.alerts.visits import APART_S
from edge.video.sample import Arrival

_STEP_S: Final = 1 / FPS
_SLOW_S: Final = 1800.0  # time constant of the baseline
_SHARE: Final = _STEP_S / _SLOW_S
_SETTLED: Final = int(1 / _SHARE)  # samples after which the baseline is an exponential mean
_BLOCK: Final = int(BLOCK_S * FPS)
_LIMIT: Final = 16  # a square counts as so many variances at most
_BUSY_S: Final = 6 * 3600.0  # time constant of the share in which alerts run
_LONGEST_STRIDE: Final = 128  # of the margins that are remembered
_MOST: Final = 7200  # samples of one stretch
# The streams begin with a working week.
_MONDAY_S: Final = 4 * 86_400.0

_Values = NDArray[np.float64]


class QuickBaseline(Baseline):
    def levels(self, margins: _Values) -> _Values:
        """Return the level before each of margins [n], and after the last, float64 [n + 1]."""
        start = np.array([(1 - _SHARE) * self.level])
        after = signal.lfilter([_SHARE], [1, _SHARE - 1], margins, zi=start)[0]
        return np.concatenate([[self.level], after])

    def follow_all(self, margins: _Values, levels: _Values) -> int:
        """Take margins [n] of no alert, and their ``levels``; return how many it has taken.

        It stops before a sample with which the baseline jumps.
        """
        variances = self._variances((margins - levels[:-1]) ** 2)
        at = 0
        while at < len(margins):
            rest = max(1, _BLOCK - int(self._seconds * FPS))
            until = min(at + rest - 1, len(margins))
            self._variance = float(variances[until])
            self._total += float(margins[at:until].sum())
            self._count += until - at
            self._seconds += (until - at) * _STEP_S
            self._samples += until - at
            self.level = float(levels[until])
            at = until
            if at < len(margins):
                before = self._snapshot()
                if self.follow(float(margins[at]), _STEP_S, alerting=False):
                    self._go_back(before)
                    return at
                at += 1
        return at

    def follow_day(self, margins: _Values) -> _Values:
        """Take margins [n] of no alert, with jumps; return the level before each, float64 [n]."""
        before = np.empty(len(margins))
        at = 0
        while at < len(margins):
            if self.settled:
                some = margins[at : at + _MOST]
                levels = self.levels(some)
                taken = self.follow_all(some, levels)
                before[at : at + taken] = levels[:taken]
                at += taken
            if at < len(margins):
                before[at] = self.level
                passed_s = _STEP_S if self._samples else 0.0
                self.follow(float(margins[at]), passed_s, alerting=False)
                at += 1
        return before

    def _variances(self, squares: _Values) -> _Values:
        """Return the variance before each of squares [n], and after the last, float64 [n + 1]."""
        start = np.array([(1 - _SHARE) * self._variance])
        after = signal.lfilter([_SHARE], [1, _SHARE - 1], squares, zi=start)[0]
        variances = np.concatenate([[self._variance], after])
        if (squares <= _LIMIT * variances[:-1]).all():
            return variances
        variance, found = self._variance, [self._variance]
        for square in squares.tolist():
            limit = _LIMIT * variance
            variance += _SHARE * ((limit if square > limit else square) - variance)  # noqa: FURB136  fast
            found.append(variance)
        return np.array(found)

    @property
    def settled(self) -> bool:
        return self._samples >= _SETTLED

    def _snapshot(self) -> tuple[float, ...]:
        self._kept = [
            (one.usual, one.seen, one.last, one.total, one.parts) for one in self._lengths
        ]
        return (
            self.level, self._samples, self._variance, self._total, self._count, self._seconds,
        )  # fmt: skip

    def _go_back(self, before: tuple[float, ...]) -> None:
        self.level, samples, self._variance, self._total, count, self._seconds = before
        self._samples, self._count = int(samples), int(count)
        for one, kept in zip(self._lengths, self._kept, strict=True):
            one.usual, one.seen, one.last, one.total, one.parts = kept


class _QuickBusyShare(BusyShare):
    def add_quiet(self, count: int) -> None:
        """Add so many samples without an alert."""
        young = min(count, max(0, round((_BUSY_S - self.seconds) * FPS)))
        if young and self.seconds:
            self.share *= self.seconds / (self.seconds + young * _STEP_S)
        self.share *= (1 - _STEP_S / _BUSY_S) ** (count - young)
        self.seconds += count * _STEP_S


class _QuickReservoir(Reservoir):
    @property
    def room(self) -> int:
        """Number of values before the one that turns the memory over."""
        full = self._count == SIZE and self.stride == self._longest
        left = SIZE - self._next if full else SIZE - self._count + 1
        return left * self.stride - self._skipped - 1

    def add_all(self, values: _Values) -> None:
        """Take values [n], at most ``room``."""
        skipped = (self._skipped + len(values)) % self.stride
        for value in values[self.stride - self._skipped - 1 :: self.stride].tolist():
            self._skipped = self.stride - 1
            self.add(value)
        self._skipped = skipped


class _QuickClusters(Clusters):
    @property
    def full(self) -> bool:
        """Whether the last values are known."""
        return len(self._recent) == self._rule.on_of

    @property
    def running(self) -> bool:
        return self._machine.alerting

    def push_all(self, values: _Values) -> _Values:
        """Take values [n]; return the statistics, float64 [n]."""
        older = np.array(self._recent)[1:]
        self._recent.extend(values[-self._rule.on_of :].tolist())
        return statistics(np.concatenate([older, values]), self._rule)


def statistics(values: _Values, rule: Rule) -> _Values:
    """Return the largest threshold at which each of the values [n] still alerts.

    The first ``on_of`` - 1 values only go before: float64 [n - on_of + 1].
    """
    newest = values[rule.on_of - 1 :]
    if rule.on_for == 1:
        return newest
    older = [values[place : place + len(newest)] for place in range(rule.on_of - 1)]
    if rule.on_for == 2:
        return np.asarray(np.minimum(newest, reduce(np.maximum, older)))
    return np.asarray(np.minimum(newest, np.sort(older, axis=0)[1 - rule.on_for]))


class _QuickTail(AlarmTail):
    def __init__(self, rule: Rule) -> None:
        super().__init__(rule)
        self._before = rule.on_of - 1  # samples that a cluster needs before it
        self._baseline: QuickBaseline = QuickBaseline()
        self._clusters: _QuickClusters = _QuickClusters(rule)
        self._bulk: _QuickReservoir = _QuickReservoir(_LONGEST_STRIDE)
        self._busy: _QuickBusyShare = _QuickBusyShare()

    @property
    def room(self) -> int:
        """Number of samples that may be taken at once."""
        quiet = self._base is not None and self._baseline.settled and self._clusters.full
        quiet = quiet and not self._clump.again(self._watched_s)
        # At that time the daemon's own code looks at a move.
        until = min(float(_MOST), (self._moves.due_s - self._watched_s) * FPS - 1)
        return min(max(0, int(until)), self._bulk.room) if quiet else 0

    def levels(self, margins: _Values) -> _Values:
        """Return the baseline before each of margins [n], and after the last, float64 [n + 1]."""
        return self._baseline.levels(margins)

    def observe_all(self, margins: _Values, at: float, levels: _Values, thresholds: _Values) -> int:
        """Learn from samples of no alert, the first at ``at``; return from how many.

        Args:
            margins: Margins [n], at most ``room``.
            at: Monotonic seconds of the first.
            levels: Result of ``levels``.
            thresholds: Thresholds in force, float64 [n].
        """
        count = self._baseline.follow_all(margins, levels)
        if not count:
            return 0
        before = levels[:count]
        values, limits = margins[:count] - before, thresholds[:count] - before
        self._busy.add_quiet(count)
        self._alerted_s = None
        self._last_at = at + (count - 1) * _STEP_S
        until = self._clump.last_s + APART_S - self._watched_s  # not counted any more at that time
        after = min(count, max(0, math.ceil(until / _STEP_S) - 1)) if self._clump.alerts else 0
        self._clump.pause(float(margins[:after].sum()), after, after * _STEP_S)
        self._hours.follow(self._watched_s + _STEP_S, _MONDAY_S + at)
        statistic = self._clusters.push_all(values)
        self.highest = max(self.highest, float(statistic.max()))
        self._bulk.add_all(statistic)
        base = np.inf if self._base is None else self._base
        start_s, start = self._watched_s, self._samples
        step = 0
        for found in [0, *np.flatnonzero(statistic >= base).tolist()]:
            # The samples before it are in the machine, unless a cluster has just ended there.
            step = max(step, found - self._before) if not self._clusters.running else step
            while step < count and (self._clusters.running or step <= found):
                self._watched_s = start_s + (step + 1) * _STEP_S
                self._samples = start + step + 1
                ended = self._clusters.step(
                    float(values[step]), float(statistic[step]), at + step * _STEP_S,
                    float(limits[step]),
                )  # fmt: skip
                if ended is not None:
                    self._keep(ended)
                step += 1
        # What a cluster that begins with the next samples needs.
        for late in range(max(step, count - self._before), count):
            self._clusters.step(
                float(values[late]), float(statistic[late]), at + late * _STEP_S,
                float(limits[late]),
            )  # fmt: skip
        self._watched_s = start_s + count * _STEP_S
        self._samples = start + count
        return count


class QuickCalibration(Calibration):
    """A calibration that also takes quiet stretches at once.

    Args:
        rule: Condition of an alert; its threshold is the prior.
        asked: False alarms per day that are asked for.
        even: Whether each hour has an equal share of them.
        start: Side from which the threshold comes at first.
    """

    def __init__(
        self, rule: Rule, asked: float, *, even: bool = False, start: Start | None = None
    ) -> None:
        self._tail = _QuickTail(rule)
        tails = {EVERYWHERE: self._tail}
        super().__init__(rule, asked, tails, even=even, start=start, zone=UTC)
        self._asks = asked

    @property
    def baseline(self) -> float:
        """Level of ordinary margins."""
        return self._tail.baseline

    def observe_all(self, margins: _Values, at: float) -> int:
        """Learn from the samples before the next alert; return from how many: 0 for none at once.

        Args:
            margins: Margins [n], with ``on_of`` - 1 that were learned from before.
            at: Monotonic seconds of the first that is new.
        """
        before = self._rule.on_of - 1
        due = self._due.get(EVERYWHERE, at)
        count = min(self._tail.room, len(margins) - before, int(np.ceil((due - at) * FPS)) + 1)
        if count < 1:
            return 0
        new = margins[before : before + count]
        levels = self._tail.levels(new)
        estimate = self._estimate()
        thresholds = np.full(count, self._first())
        if estimate is not None:
            thresholds = np.maximum(self._lowest, levels[:-1] + estimate.level)
        alerts = statistics(margins[: before + count], self._rule) >= thresholds
        if alerts.any():
            count = int(alerts.argmax())
            new, levels, thresholds = new[:count], levels[: count + 1], thresholds[:count]
        if not count:
            return 0
        count = self._tail.observe_all(new, at, levels, thresholds)
        if count:
            last = at + (count - 1) * _STEP_S
            self._look(EVERYWHERE, self._asks, last, _MONDAY_S + last)
        return count


class ClosedLoop:
    """One rule on one camera, as the daemon runs it: what alarms decides what is learned.

    Args:
        rule: Condition of an alert; its threshold is the prior.
        asked: False alarms per day that are asked for.
        quick: Whether quiet stretches are taken at once.
        even: Whether each hour has an equal share of the alarms.
        start: Side from which the threshold comes at first.

    Attributes:
        calibration: What it has learned.
        alarms: Samples at which an alert started.
    """

    def __init__(
        self,
        rule: Rule,
        asked: float,
        *,
        quick: bool = True,
        even: bool = False,
        start: Start | None = None,
    ) -> None:
        self.calibration = QuickCalibration(rule, asked, even=even, start=start)
        self.alarms: list[int] = []
        self._machine = EventMachine(rule, lambda _at: "")
        self._before = rule.on_of - 1
        self._quick = quick
        self._position = 0
        self._quiet = 0  # samples since the last alert
        self._last = np.zeros(0)

    @property
    def alerting(self) -> bool:
        """Whether an alert is running."""
        return self._machine.alerting

    def watch(self, margins: _Values) -> None:
        """Go on with margins [n]."""
        known = len(self._last)
        margins = np.concatenate([self._last, margins])
        at, stepped = known, True
        while at < len(margins):
            taken = 0
            if self._quick and self._quiet > self._before and not self.alerting:
                taken = self.calibration.observe_all(
                    margins[at - self._before :], self._position / FPS
                )
            if taken:
                at += taken
                self._position += taken
                stepped = False
                continue
            if not stepped:
                self._catch_up(margins[at - self._before : at])
                stepped = True
            self._step(float(margins[at]))
            at += 1
        if not stepped:
            self._catch_up(margins[at - self._before : at])
        self._last = margins[len(margins) - self._before :]

    def _step(self, margin: float) -> None:
        at = self._position / FPS
        self._machine.rule = self.calibration.rule
        changes = self._machine.step(margin, 0.0, Arrival(at, at, None))
        if any(change.type == "start" for change in changes):
            self.alarms.append(self._position)
        alerting = self._machine.alerting or bool(changes)
        self.calibration.observe(
            margin, at, alerting=alerting, regime=EVERYWHERE, wall=_MONDAY_S + at
        )
        self._quiet = 0 if alerting else self._quiet + 1
        self._position += 1

    def _catch_up(self, margins: _Values) -> None:
        """Let the event machine know the last margins of a stretch, which start no alert."""
        self._machine.rule = replace(self._machine.rule, threshold=np.inf)
        for late, margin in enumerate(margins.tolist(), self._position - len(margins)):
            self._machine.step(margin, 0.0, Arrival(late / FPS, late / FPS, None))
