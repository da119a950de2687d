"""Runs the daemon's calibration in closed loop on a stream, and measures what a user would notice.

``Calibration`` and ``EventMachine`` run as in the daemon: what alarms is left out of what is
learned. The counted days come after the warm-up and count everything.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.studies.false_alarms.quick import ClosedLoop, statistics
from benchmarks.studies.false_alarms.streams import DAY, FPS, RECORDED, StreamDay, margins
from benchmarks.studies.false_alarms.truth import Truth
from edge.alerts.events import EventMachine, Rule
from edge.alerts.threshold import EVERYWHERE, Calibration
from edge.video.sample import Arrival
from export.default_bundle.recipe import DECISION

RULE: Final = Rule(threshold=0.0, hysteresis=0.05, on_for=2, on_of=3, off_after_s=2.0)
HEIGHTS: Final = (2, 3, 5)
"""Spreads by which events that are planted are above the true level of the asked rate."""

# Spreads of the first threshold above the centre of made margins; recorded ones have the bundle's.
_PRIOR: Final = 4.0
_HOUR: Final = int(3600 * FPS)
EVENT: Final = 16
"""Samples of one event that is planted."""

_FLICKER: Final = 0.3  # noise of an event, in spreads
_AFTER_JUMP: Final = int(900 * FPS)  # samples in which an alarm counts to a jump
_AFTER_EVENT: Final = int(10 * FPS)


@dataclass(frozen=True, slots=True)
class Setting:
    """What is asked for, and how long it is measured.

    Attributes:
        asked: Alarms per day.
        warm_up: Days of learning that do not count.
        counted: Days that count after that.
        factor: How far the measured rate may be from ``asked``.
    """

    asked: float
    warm_up: int
    counted: int
    factor: float

    @property
    def days(self) -> int:
        """All days."""
        return self.warm_up + self.counted


SETTINGS: Final = (Setting(10.0, 1, 6, 2.0), Setting(1.0, 7, 21, 2.0), Setting(0.1, 7, 42, 4.0))


@dataclass(frozen=True, slots=True)
class ClosedRun:
    """What one run found.

    Attributes:
        kind: Kind of stream.
        seed: Seed of the stream.
        asked: Alarms per day that were asked for.
        by_day: Alarms on each day, the warm-up included; planted events are not among them.
        ratio: Alarms on the counted days by those asked for.
        within: Whether that is within the setting's factor of 1.
        levels: Threshold above the baseline at the end of each day, in spreads.
        wander: Median change of that from one counted day to the next.
        covered: Whether the interval stated after the warm-up holds the true rate; None where
            nothing was learned by then.
        from_a_jump: Most alarms within a quarter of an hour after a jump; None without jumps.
        recall: Share of planted events that the thresholds of the counted days alert on, by height.
        oracle: The same share for the true level of the asked rate.
        caught: Share of the events in the stream itself that alerted on the counted days; None
            without any.
    """

    kind: str
    seed: int
    asked: float
    by_day: tuple[int, ...]
    ratio: float
    within: bool
    levels: tuple[float, ...]
    wander: float
    covered: bool | None
    from_a_jump: int | None
    recall: tuple[float, ...]
    oracle: tuple[float, ...]
    caught: float | None

    def row(self) -> dict[str, object]:
        """Return all of it by name."""
        return asdict(self)


def run_closed(
    days: Iterable[StreamDay],
    kind: str,
    seed: int,
    setting: Setting,
    truth: Truth,
    planted: float = 0.0,
) -> ClosedRun:
    """Learn on a stream, and count.

    Args:
        days: Days of the stream.
        kind: Its kind.
        seed: Its seed.
        setting: What is asked for.
        truth: True rates of the kind.
        planted: Real events per day in the stream, three spreads above the true level.
    """
    oracle, rng = truth.level(setting.asked), np.random.default_rng([seed, 7])
    loop = ClosedLoop(first_rule(kind, truth), setting.asked)
    jumps: list[int] = []
    events: list[int] = []
    levels: list[float] = []
    recalls: list[list[list[bool]]] = []
    covered = None
    for number, day in enumerate(islice(days, setting.days)):
        margins = day.margins
        if planted:
            margins, starts = with_events(day, oracle + 3 * truth.spread, planted, seed, number)
            events += [number * DAY + start for start in starts]
        jumps += [number * DAY + jump for jump in day.jumps]
        if number == setting.warm_up:
            covered = _holds(loop, truth)
        for hour in margins.reshape(-1, _HOUR):
            if number >= setting.warm_up and not loop.alerting:
                recalls.append(list(tried(loop, oracle, truth.spread, rng)))
            loop.watch(hour)
        levels.append(_level(loop) / truth.spread)
    came = {(event, alarm) for event in events for alarm in loop.alarms if comes_from(event, alarm)}
    caught = {event for event, _ in came}
    counted = {event for event in events if event >= setting.warm_up * DAY}
    false = sorted({*loop.alarms} - {alarm for _, alarm in came})
    by_day = np.bincount(np.array(false, int) // DAY, minlength=setting.days)
    ratio = float(by_day[setting.warm_up :].sum() / (setting.counted * setting.asked))
    found = np.mean(recalls, axis=0) if recalls else np.full((2, len(HEIGHTS)), np.nan)
    return ClosedRun(
        kind=kind,
        seed=seed,
        asked=setting.asked,
        by_day=tuple(by_day.tolist()),
        ratio=ratio,
        within=1 / setting.factor <= ratio <= setting.factor,
        levels=tuple(levels),
        wander=float(np.median(np.abs(np.diff(levels[setting.warm_up - 1 :])))),
        covered=covered,
        from_a_jump=_from_a_jump(false, [at for at in jumps if at >= setting.warm_up * DAY]),
        recall=tuple(found[0].tolist()),
        oracle=tuple(found[1].tolist()),
        caught=len(caught & counted) / len(counted) if counted else None,
    )


def first_rule(kind: str, truth: Truth) -> Rule:
    """Return the rule before anything is known: recorded margins have the bundle's threshold."""
    made = truth.centre + _PRIOR * truth.spread
    return replace(RULE, threshold=DECISION.threshold if kind in RECORDED else made)


def cost() -> dict[str, float]:
    """Measure the daemon's code after a day: time per sample and per estimate, bytes on disk."""
    calibration, machine = Calibration(RULE, 1.0), EventMachine(RULE)
    day = (next(margins("street", 3)) - 1).tolist()  # below the first threshold
    began = time.process_time()
    for position, margin in enumerate(day):
        at = position / FPS
        machine.rule = calibration.rule
        changes = machine.step(margin, 0.0, Arrival(at, at, None))
        alerting = machine.alerting or bool(changes)
        calibration.observe(margin, at, alerting=alerting, regime=EVERYWHERE)
    sample_s = (time.process_time() - began) / DAY
    tail = calibration.tails[EVERYWHERE]
    began = time.process_time()
    tail.estimate(1.0)
    return {
        "sample_us": 1e6 * sample_s,
        "estimate_ms": 1e3 * (time.process_time() - began),
        "bytes": float(len(tail.to_bytes())),
    }


def _level(loop: ClosedLoop) -> float:
    """Return the threshold in force above the baseline."""
    return loop.calibration.rule.threshold - loop.calibration.baseline


def _holds(loop: ClosedLoop, truth: Truth) -> bool | None:
    """Return whether the interval that is stated now holds the true rate."""
    estimate = loop.calibration.report().estimate
    if estimate is None:
        return None
    return estimate.low <= truth.rate(estimate.level) <= estimate.high


def tried(
    loop: ClosedLoop, oracle: float, spread: float, rng: np.random.Generator
) -> Iterator[list[bool]]:
    """Try events of all heights in a copy of the stream: at the learned level, and at the true one.

    Nothing is learned from them.

    Args:
        loop: What has learned.
        oracle: The true level.
        spread: Standard deviation of the stream.
        rng: Source of the events' flicker.
    """
    events = [oracle + (height + _FLICKER * rng.normal(size=EVENT)) * spread for height in HEIGHTS]
    reached = [float(statistics(event, RULE).max()) for event in events]
    for level in (_level(loop), oracle):
        yield [one >= level for one in reached]


def with_events(
    day: StreamDay, above: float, per_day: float, seed: int, number: int
) -> tuple[NDArray[np.float64], list[int]]:
    """Return a day's margins with real events, and the samples at which they begin.

    Args:
        day: The day.
        above: Height of an event above the margins.
        per_day: Mean number of events.
        seed: Seed of the stream.
        number: Number of the day.
    """
    rng = np.random.default_rng([seed, number, 8])
    margins = day.margins.copy()
    starts = rng.integers(DAY - EVENT, size=rng.poisson(per_day)).tolist()
    for start in starts:
        margins[start : start + EVENT] += above
    return margins, starts


def comes_from(event: int, alarm: int) -> bool:
    """Return whether an alarm comes from an event, by the samples at which both begin."""
    return 0 <= alarm - event < EVENT + _AFTER_EVENT


def _from_a_jump(alarms: list[int], jumps: list[int]) -> int | None:
    """Return the most alarms after one jump, before the next one."""
    if not jumps:
        return None
    ends = [*jumps[1:], jumps[-1] + _AFTER_JUMP]
    return max(
        sum(jump <= alarm < min(end, jump + _AFTER_JUMP) for alarm in alarms)
        for jump, end in zip(jumps, ends, strict=True)
    )
