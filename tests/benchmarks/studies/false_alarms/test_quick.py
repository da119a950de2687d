"""Quiet stretches at once teach what they teach sample by sample."""

from itertools import islice

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.studies.false_alarms.closed import RULE
from benchmarks.studies.false_alarms.quick import ClosedLoop, QuickBaseline
from benchmarks.studies.false_alarms.streams import CENTRE, SPREAD, margins
from edge.alerts.events import Rule
from edge.alerts.null.baseline import Baseline

SAMPLES = 40_000
TWO_OF_THREE = Rule(CENTRE + 3 * SPREAD, hysteresis=0.05, on_for=2, on_of=3, off_after_s=2.0)
THREE_OF_FIVE = Rule(CENTRE + 3 * SPREAD, hysteresis=0.05, on_for=3, on_of=5, off_after_s=1.0)
ONE = Rule(CENTRE + 4 * SPREAD, hysteresis=0.05, on_for=1, on_of=1, off_after_s=0.0)


def some(kind: str) -> NDArray[np.float64]:
    return next(margins(kind, 3))[-SAMPLES:]


def learned(loop: ClosedLoop) -> list[NDArray[np.float64]]:
    (tail,) = loop.calibration.tails.values()
    return [
        np.array(facts, np.float64)
        for facts in (
            tail._baseline.state(), tail._peaks.table, tail._bulk.state(),
            [tail._watched_s, tail._samples, tail._busy.seconds, tail._peaks.since_s],
            tail._clump.state(), [tail._clump.total, tail._clump.count, tail._clump.between_s],
            [loop.calibration.rule.threshold, loop.calibration.rule.hysteresis],
        )
    ]  # fmt: skip


def alike(one: ClosedLoop, other: ClosedLoop) -> bool:
    return all(
        a.shape == b.shape and np.allclose(a, b, rtol=1e-5, atol=1e-8)
        for a, b in zip(learned(one), learned(other), strict=True)
    )


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        ("street", TWO_OF_THREE),
        ("hunting exposure", TWO_OF_THREE),
        ("heavy (t, 4)", THREE_OF_FIVE),
        ("day and night", ONE),
    ],
)
def test_all_that_is_learned_is_the_same_but_for_roundings(kind: str, rule: Rule) -> None:
    stream = some(kind)
    slow, quick = ClosedLoop(rule, 60.0, quick=False), ClosedLoop(rule, 60.0)
    for part in np.split(stream, [7000, 20_001, 20_002]):
        slow.watch(part)
        quick.watch(part)
    assert quick.alarms == slow.alarms
    assert slow.alarms
    assert slow.calibration.report().state == "learned"
    assert alike(quick, slow)
    # Negative control: one higher sample makes a difference.
    other = ClosedLoop(rule, 60.0)
    stream[SAMPLES // 2 : SAMPLES // 2 + 5] += 3 * SPREAD
    other.watch(stream)
    assert not alike(other, slow)


def test_the_baseline_of_a_day_jumps_where_that_of_samples_does() -> None:
    stream = next(margins("jumps", 1))[:SAMPLES]
    stream[20_000:] += 5 * SPREAD
    one, other = Baseline(), QuickBaseline()
    found = other.follow_day(stream)
    moved, levels = 0, []
    for margin in stream.tolist():
        levels.append(one.level)
        moved += one.follow(margin, 0.0 if len(levels) == 1 else 0.5, alerting=False) > 0
    assert moved
    assert np.allclose(found, levels, atol=1e-2 * SPREAD)


def test_it_is_faster() -> None:
    """Few samples go through the daemon's code one by one, once the first hours are over."""
    loop, stepped = ClosedLoop(RULE, 1.0), 0
    days = list(islice(margins("Gaussian", 1), 2))
    loop.watch(days[0])
    step = loop._step

    def counted(margin: float) -> None:
        nonlocal stepped
        stepped += 1
        step(margin)

    loop._step = counted  # type: ignore[method-assign]
    loop.watch(days[1])
    assert stepped < 0.02 * len(days[1])
