"""What a rule asks beyond a rate: even hours, and a side to start from."""

import io
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from present import present

from edge.alerts.events import Rule
from edge.alerts.null import AlarmTail, Estimate, Start

RULE = Rule(threshold=0.0, hysteresis=0.05, on_for=1, on_of=1, off_after_s=1.0)
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
STEP_S = 4.0


def days(count: int, seed: int = 1) -> AlarmTail:
    """Noise, with thirty times as many things that pass from 8 to 20 h."""
    rng, tail = np.random.default_rng(seed), AlarmTail(RULE)
    samples = int(86_400 / STEP_S)
    busy = (np.arange(samples) % samples >= samples / 3) & (np.arange(samples) < samples * 5 / 6)
    for day in range(count):
        passes = rng.random(samples) < np.where(busy, 0.03, 0.001)
        margins = 0.02 * (rng.normal(size=samples) + passes * rng.gamma(2, 1.5, samples))
        for place, margin in enumerate(margins.tolist()):
            at = (day * samples + place) * STEP_S
            tail.observe(margin, at, alerting=False, wall=MONDAY.timestamp() + at)
    return tail


@pytest.fixture(scope="module")
def tail() -> AlarmTail:
    return days(4)


def at(hour: int) -> datetime:
    return MONDAY + timedelta(days=4, hours=hour)


def known(
    tail: AlarmTail, *, even: bool = False, start: Start | None = None, hour: int | None = None
) -> Estimate:
    when = None if hour is None else at(hour)
    return present(tail.estimate(4.0, even=even, start=start, at=when))


def test_what_is_expected_by_hour_adds_up_to_the_days_rate(tail: AlarmTail) -> None:
    by_hour = present(known(tail, hour=3).by_hour)
    working = [present(one) for one in by_hour[:24]]
    assert sum(working) == pytest.approx(4.0, rel=0.1)
    assert min(working[9:19]) > 5 * max(working[1:6])
    assert by_hour[24:] == (None,) * 24  # no weekend was watched
    assert known(tail).by_hour is None


def test_an_even_rule_is_open_by_night_and_strict_by_day(tail: AlarmTail) -> None:
    mean, night, noon = known(tail), known(tail, even=True, hour=3), known(tail, even=True, hour=12)
    assert known(tail, hour=3).level == known(tail, hour=12).level == mean.level
    assert night.level < mean.level < noon.level
    assert night.relative < 0.3
    assert noon.relative > 1.5
    assert night.low < 4.0 < night.high


def test_each_hour_of_an_even_rule_alarms_as_often_as_was_asked_for(tail: AlarmTail) -> None:
    rng, count = np.random.default_rng(9), 2_000_000
    heights = 0.02 * rng.gamma(2, 1.5, count)

    def per_day(level: float, passes: float) -> float:
        margins = 0.02 * rng.normal(size=count) + heights * (rng.random(count) < passes)
        return float((margins > level).mean()) * 86_400 / STEP_S

    assert 2.0 < per_day(known(tail, even=True, hour=3).level, 0.001) < 8.0
    assert 2.0 < per_day(known(tail, even=True, hour=12).level, 0.03) < 8.0
    # The negative control: the mean of the day is too strict by night.
    assert per_day(known(tail).level, 0.001) < 1.0
    assert per_day(known(tail).level, 0.03) > 6.0


def test_hours_survive_a_restart_and_a_file_without_them_opens(tail: AlarmTail) -> None:
    again = AlarmTail.from_bytes(RULE, tail.to_bytes())
    assert known(again, even=True, hour=3) == known(tail, even=True, hour=3)
    older = AlarmTail.from_bytes(RULE, _without_hours(tail.to_bytes()))
    assert known(older, even=True, hour=3).level == known(tail).level
    assert known(older, hour=3).by_hour is None


def test_a_quiet_start_is_above_a_loud_one_and_both_end_in_the_middle() -> None:
    first = days(1)
    quiet, middle, loud = (known(first, start=start) for start in ("quiet", None, "loud"))
    assert loud.level < middle.level < quiet.level
    assert quiet.per_day < 4.0 < loud.per_day
    seldom = [present(first.estimate(0.5, start=start)) for start in ("quiet", "loud")]
    assert seldom[0].high == pytest.approx(0.5, rel=0.3)  # one of the 14 days of the start
    assert seldom[1].low <= 0.5 * 1.2
    assert seldom[1].per_day > 1.0
    later = days(2)
    assert known(later, start="quiet") == known(later) == known(later, start="loud")


def _without_hours(data: bytes) -> bytes:
    """Return what a version wrote that did not know hours."""
    file = io.BytesIO()
    with np.load(io.BytesIO(data)) as parts:
        np.savez(file, **{name: parts[name] for name in parts if name != "hours"})
    return file.getvalue()
