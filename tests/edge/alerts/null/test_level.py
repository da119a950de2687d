"""The level for a wanted rate, from peaks: what was seen answers, and the tail beyond."""

import numpy as np
import pytest
from numpy.typing import NDArray
from present import present
from scipy import stats

from edge.alerts.null.clusters import Cluster
from edge.alerts.null.level import Known, know
from edge.alerts.null.peaks import DAY_S, Peaks
from edge.alerts.null.tail import fit

DAYS = 7


def kept(
    values: NDArray[np.float64], limit: float = np.inf, days: float = DAYS, *, alerts: bool = True
) -> Peaks:
    """Peaks evenly spread over days; those above the limit became alerts."""
    peaks = Peaks()
    for place, value in enumerate(values):
        alerted = alerts and value >= limit
        cluster = Cluster(float(value), limit, alerts=int(alerted))
        peaks.add(cluster, (place + 0.5) / len(values) * days * DAY_S)
    return peaks


def known(peaks: Peaks, asked: float) -> Known:
    return present(know(peaks, DAYS * DAY_S, asked))


def mixture(seed: int, count: int = 1400) -> NDArray[np.float64]:
    """Two hundred peaks a day: noise, and one in ten a thing that passes, well above it."""
    rng = np.random.default_rng(seed)
    passing = rng.random(count) < 0.1
    return np.where(passing, rng.gamma(16, 0.4, count), rng.exponential(0.5, count))


def rate_of_mixture(level: float, a_day: float = 200) -> float:
    return float(
        a_day
        * (0.1 * stats.gamma(16, scale=0.4).sf(level) + 0.9 * stats.expon(scale=0.5).sf(level))
    )


@pytest.mark.parametrize("asked", [1.0, 10.0])
def test_a_mixture_of_noise_and_things_that_pass_is_answered_by_what_was_seen(asked: float) -> None:
    ratios = [
        rate_of_mixture(known(kept(mixture(seed)), asked).answer(asked).level) / asked
        for seed in range(12)
    ]
    assert np.median(ratios) == pytest.approx(1, abs=0.35)
    assert all(0.4 < ratio < 2.5 for ratio in ratios)


def test_one_law_for_all_peaks_of_a_mixture_is_wrong() -> None:
    """The negative control: why the tail begins high up."""
    ratios = []
    for seed in range(12):
        values = mixture(seed)
        tail = present(fit(values, np.full(len(values), np.inf), np.ones(len(values))))
        ratios.append(rate_of_mixture(float(tail.excesses(np.log([200.0]))[0])))
    assert np.median(ratios) < 0.4


def test_the_interval_holds_the_true_rate_in_nine_of_ten_runs() -> None:
    held = 0
    for seed in range(60):
        answer = known(kept(mixture(seed)), 1.0).answer(1.0)
        held += answer.low <= rate_of_mixture(answer.level) <= answer.high
    assert held >= 50


def test_peaks_that_became_alerts_are_missed_and_allowed_for() -> None:
    """In a closed loop the threshold neither sinks nor climbs by what it does itself."""
    rng = np.random.default_rng(1)
    values = rng.exponential(1.0, 1400)
    true = np.log(200.0)
    answer = known(kept(values, limit=true), 1.0).answer(1.0)
    assert np.exp(true - answer.level) == pytest.approx(1, abs=0.45)


def test_a_real_event_a_day_does_not_raise_the_threshold_above_itself() -> None:
    rng = np.random.default_rng(3)
    values = rng.exponential(1.0, 1400)
    true = np.log(200.0)
    plain = known(kept(values, limit=true), 1.0).answer(1.0)
    values[100::200] = true + 5
    answer = known(kept(values, limit=true), 1.0).answer(1.0)
    assert answer.level < true + 3
    assert answer.level == pytest.approx(plain.level, abs=1.0)
    silent = known(kept(values, limit=np.inf, alerts=False), 1.0).answer(1.0)
    assert silent.level > answer.level  # the control: nobody knows that these were alerts


def test_alerts_much_more_frequent_than_asked_for_are_false() -> None:
    rng = np.random.default_rng(4)
    values = rng.exponential(1.0, 1400)
    true = np.log(200.0)
    values[10::40] = true + 1 + rng.exponential(2.0, 35)  # five a day
    answer = known(kept(values, limit=true), 1.0).answer(1.0)
    assert (values >= answer.level).sum() <= 2.2 * DAYS  # half of one a day may be real


@pytest.mark.parametrize("asked", [0.3, 1.0])
def test_a_tail_that_is_wrong_gives_way_to_what_was_counted(asked: float) -> None:
    """Peaks that end where the law of the lower ones goes on: the threshold is no deaf one."""
    ratios, by_the_tail = [], []
    for seed in range(8):
        values = np.minimum(np.random.default_rng(seed).exponential(1.0, 8400), 5.0)
        values = np.where(
            values < 4.9, values, 4.9 + 0.1 * np.random.default_rng(seed).random(8400)
        )
        peaks = kept(values[:8400:6])
        ratios.append((values >= known(peaks, asked).answer(asked).level).sum() / 42 / asked)
        tail = present(fit(values[::6], np.full(1400, np.inf), np.ones(1400)))
        by_the_tail.append((values >= tail.excesses(np.log([200 / asked]))[0]).sum() / 42 / asked)
    assert 0.5 < np.median(ratios) < 2
    assert np.median(by_the_tail) < 0.2  # the control


def test_a_missed_event_does_not_keep_the_threshold_above_it() -> None:
    """Events below a threshold that was far too high show nothing of how the tail goes on."""
    rng = np.random.default_rng(3)
    values = rng.exponential(1.0, 1400)
    true = np.log(200.0)
    values[100::200] = true + 5
    missed = known(kept(values, limit=true + 10), 1.0).answer(1.0)
    assert missed.level < true + 4


def test_a_rate_beyond_reach_is_answered_by_the_rarest_that_is_known() -> None:
    values = np.random.default_rng(5).exponential(1.0, 120)
    peaks = kept(values, days=0.1)
    found = present(know(peaks, 0.1 * DAY_S, 0.01))
    answer = found.answer(0.01)
    assert answer.per_day > 0.01
    assert answer.high / answer.low <= 101


def test_too_few_peaks_say_nothing() -> None:
    assert know(kept(np.arange(50.0)), DAYS * DAY_S, 1.0) is None
    assert know(kept(np.ones(200)), DAYS * DAY_S, 1.0) is None


def test_days_that_differ_widen_the_interval() -> None:
    values = np.random.default_rng(6).exponential(1.0, 1400)
    even = known(kept(values), 1.0).answer(1.0)
    peaks = Peaks()
    for place, value in enumerate(values):  # all in two of the seven days
        day = (place + 0.5) / len(values) * 2
        peaks.add(Cluster(float(value)), (int(day) * 3 + day % 1) * DAY_S)
    uneven = known(peaks, 1.0).answer(1.0)
    assert uneven.high / uneven.low > 1.5 * even.high / even.low


def test_a_single_day_says_less_of_other_days_than_a_week() -> None:
    values = np.random.default_rng(6).exponential(1.0, 1400)
    week = known(kept(values), 1.0).answer(1.0)
    day = present(know(kept(values, days=1.0), DAY_S, 7.0)).answer(7.0)
    assert day.level == pytest.approx(week.level, rel=0.2)
    assert day.high / day.low > 1.3 * week.high / week.low


def test_a_visit_that_alerts_twice_does_not_raise_the_threshold_above_itself() -> None:
    values = np.random.default_rng(3).exponential(1.0, 1400)
    true = np.log(200.0)
    peaks = Peaks()
    for place, value in enumerate(values):
        at = (place + 0.5) / len(values) * DAYS * DAY_S
        if place % 200 == 100:
            for second in (0, 1):
                again = Cluster(true + 5, true, alerts=1, place=1 + second)
                peaks.add(again, at + 120 * second)
        else:
            peaks.add(Cluster(float(value), true, alerts=int(value >= true)), at)
    assert known(peaks, 1.0).answer(1.0).level < true + 2
