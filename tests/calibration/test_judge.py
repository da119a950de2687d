"""Alerts against labels, by cases that can be counted by hand; rates against other formulas."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from known import known
from scipy.stats import poisson

from calibration.cli.report import asked_text
from calibration.judge import events_of, judge, rate, share
from calibration.labels import Label
from calibration.replay import Alerted, Trace

# One event from 4 to 8 s in a pass of 20 s: 3.8 to 8.2 s count as labelled.
EVENT = Label(clip="c", prompt="p", start_s=4.0, end_s=8.0, tol_s=0.2)


def trace(
    *alerts: tuple[float, float, float | None],
    labels: tuple[Label, ...] = (EVENT,),
    pass_s: float = 20.0,
) -> Trace:
    return Trace("c", "p", "p", labels, pass_s, alerts=[Alerted(*alert) for alert in alerts])


def test_an_alert_in_time_is_a_hit_with_its_delay() -> None:
    judgement = judge([trace((4.5, 5.0, 8.0))], 1)
    assert (judgement.recall.count, judgement.recall.of) == (1, 1)
    assert (judgement.precision.count, judgement.precision.of) == (1, 1)
    assert known(judgement.delays).median_s == pytest.approx(1.0)
    assert judgement.false_alarms.count == 0
    assert judgement.under_alert == 0


def test_no_alert_is_a_miss() -> None:
    judgement = judge([trace()], 1)
    assert (judgement.recall.count, judgement.recall.of) == (0, 1)
    assert (judgement.delays, judgement.precision.value) == (None, None)


def test_an_alert_elsewhere_is_false_and_counts_as_time() -> None:
    judgement = judge([trace((10.0, 10.5, 11.56))], 1)
    assert (judgement.recall.count, judgement.precision.count, judgement.precision.of) == (0, 0, 1)
    assert judgement.false_alarms.count == 1
    assert judgement.false_alarms.hours == pytest.approx(15.6 / 3600)
    assert judgement.under_alert == pytest.approx(1.56 / 15.6)


def test_an_alert_that_never_ends_hits_all_and_shows_in_the_time_under_it() -> None:
    judgement = judge([trace((-5.0, -5.0, None))], 2)
    assert (judgement.recall.count, judgement.recall.of) == (2, 2)
    assert judgement.delays is None
    assert judgement.under_alert == pytest.approx(1.0)


def test_the_labels_uncertainty_is_in_favour_of_the_rule() -> None:
    assert judge([trace((8.1, 8.6, 9.0))], 1).recall.count == 1
    assert judge([trace((8.3, 8.8, 9.0))], 1).recall.count == 0
    assert known(judge([trace((3.9, 3.9, 9.0))], 1).delays).median_s == pytest.approx(-0.1)


def test_each_pass_has_its_own_events() -> None:
    events = events_of(trace((24.5, 25.0, 26.0)), 2)
    assert [event.start_s for event in events] == pytest.approx([4.0, 24.0])
    assert [event.alert is not None for event in events] == [False, True]


def test_rules_are_judged_together_by_adding_up() -> None:
    both = judge([trace((4.5, 5.0, 8.0)), trace((10.0, 10.5, 11.0))], 1)
    assert (both.recall.count, both.recall.of, both.false_alarms.count) == (1, 2, 1)
    assert both.false_alarms.hours == pytest.approx(2 * 15.6 / 3600)


def test_a_clip_that_is_labelled_throughout_has_no_rate() -> None:
    whole = Label(clip="c", prompt="p", start_s=0.0, end_s=20.0)
    judgement = judge([trace((0.5, 1.0, None), labels=(whole,))], 1)
    assert (judgement.under_alert, judgement.false_alarms.per_hour) == (None, None)


def test_playing_a_clip_more_often_narrows_no_interval() -> None:
    once, often = share(3, 4), share(30, 40, passes=10)
    assert (often.low, often.high) == pytest.approx((once.low, once.high))
    assert share(30, 40).low > once.low  # negative control: as if they were forty events
    assert rate(20, 10.0, passes=10).high == pytest.approx(rate(2, 1.0).high)


@given(st.integers(0, 50), st.floats(0.1, 100))
def test_the_interval_of_a_rate_is_exact(count: int, hours: float) -> None:
    found = rate(count, hours)
    assert poisson.cdf(count, found.high * hours) == pytest.approx(0.025, rel=1e-6)
    if count:
        assert poisson.sf(count - 1, found.low * hours) == pytest.approx(0.025, rel=1e-6)
    else:
        assert found.low == 0


def test_nothing_seen_says_nothing() -> None:
    assert share(0, 0).value is None
    assert (rate(0, 0.0).low, rate(0, 0.0).high) == (0.0, math.inf)


@pytest.mark.parametrize(
    ("alerts", "asked", "said"),
    [
        ((), 1.0, "1/day asked, 0 measured (0 to 20,431): no contradiction"),
        ([(10.0, 10.0, 11.0)], 1.0, ": more than asked"),
        ((), 1e6, ": fewer than asked"),
        ([(5.0, 5.0, None)], 1e5, ", but alerts hardly end"),
        ((), None, "fixed threshold"),
    ],
)
def test_what_was_asked_for_is_held_against_what_was_measured(
    alerts: Sequence[tuple[float, float, float | None]], asked: float | None, said: str
) -> None:
    told = replace(judge([trace(*alerts)], 1), asked_per_day=asked)
    assert asked_text(told).endswith(said)


@given(st.lists(st.tuples(st.floats(0, 40), st.floats(0, 10)), max_size=6))
def test_the_time_under_an_alert_is_that_of_a_fine_grid(spans: list[tuple[float, float]]) -> None:
    alerts = [(start, start, start + length) for start, length in spans]
    judgement = judge([trace(*alerts)], 2)
    grid = np.arange(0, 40, 0.002) + 0.001
    labelled = sum((grid >= at + 3.8) & (grid <= at + 8.2) for at in (0, 20)) > 0
    under = np.zeros(len(grid), bool)
    for start, _, end in alerts:
        under |= (grid >= start) & (grid <= end)
    assert judgement.under_alert == pytest.approx(under[~labelled].mean(), abs=2e-3)
