"""Which hour it was, and how many alarms come in each."""

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from numpy.typing import NDArray
from present import present

from edge.alerts.null.clusters import Cluster
from edge.alerts.null.hour_rates import HourRates, drawn_rates, rates_at
from edge.alerts.null.hours import WatchedHours, hour_of
from edge.alerts.null.peaks import DAY_S, Peaks

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def watched(*stretches: tuple[datetime, float]) -> tuple[WatchedHours, float]:
    """Watch stretches of so many hours each; return also the watched seconds."""
    hours, watched_s = WatchedHours(), 0.0
    for begin, lasts in stretches:
        for minute in range(int(60 * lasts)):
            hours.follow(watched_s + 60 * minute, begin.timestamp() + 60 * minute)
        watched_s += 3600 * lasts
    return hours, watched_s


def hours_at(hours: WatchedHours, watched_h: list[float], zone: tzinfo = UTC) -> list[int]:
    return hours.places(3600 * np.array(watched_h), zone)[0].tolist()


def test_hours_are_those_of_the_wall_clock_whatever_was_not_watched() -> None:
    friday, sunday = MONDAY + timedelta(days=4, hours=22), MONDAY + timedelta(days=6, hours=9)
    hours, _ = watched((MONDAY + timedelta(hours=8), 2), (friday, 4), (sunday, 3))
    assert hours_at(hours, [0.1, 1.9, 2.1, 4.5, 6.1, 8.9]) == [8, 9, 22, 24, 33, 35]
    # Watched time alone, the negative control, would be seven hours after Monday at eight.
    assert hours_at(watched((MONDAY + timedelta(hours=8), 9))[0], [8.9]) == [16]


def test_watched_time_is_known_of_wall_time() -> None:
    hours, _ = watched((MONDAY, 2), (MONDAY + timedelta(hours=10), 4))
    at = (MONDAY + timedelta(hours=11)).timestamp()
    assert hours.watched_s(at) == 3 * 3600
    assert hours.watched_s(MONDAY.timestamp() - 1) is None
    assert hours.watched_s(None) is None


def test_hours_follow_summer_time() -> None:
    saturday = datetime(2026, 3, 28, 20, tzinfo=UTC)  # the clock is set forward at 01:00 UTC
    hours, _ = watched((saturday, 8))
    assert hours_at(hours, [0.1, 4.5, 5.5], BERLIN) == [24 + 21, 24 + 1, 24 + 3]
    assert hour_of(saturday.astimezone(BERLIN)) == 24 + 21


def test_memory_is_bounded_and_the_newest_hours_stay() -> None:
    nights = [(MONDAY + timedelta(days=day, hours=22), 1.0) for day in range(70)]
    hours, watched_s = watched(*nights)
    assert hours.state().nbytes <= 768
    assert hours.began_s() == (70 - 48) * 3600
    assert set(hours_at(hours, [30.5, 69.5])) <= {22, 24 + 22}
    again = WatchedHours()
    again.restore(hours.state())
    again.follow(watched_s, MONDAY.timestamp() + 70 * DAY_S)
    assert hours_at(again, [69.5, 70.0]) == [*hours_at(hours, [69.5]), 0]


@pytest.mark.parametrize(
    "state",
    [
        np.zeros((3, 1)), np.zeros(2), np.zeros((2, 49)), np.full((2, 1), np.nan),
        np.full((2, 1), -1.0), np.array([[0.0], [1e12]]), np.array([[5.0, 4.0], [1.0, 9.0]]),
    ],
)  # fmt: skip
def test_a_damaged_state_is_refused(state: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="expected"):
        WatchedHours().restore(state)
    WatchedHours().restore(WatchedHours().state())


def drawn(per_day: NDArray[np.float64], weeks: float, seed: int = 0) -> HourRates:
    """Rates drawn from Poisson counts of so many alarms a day in each hour of the week."""
    exposure = np.repeat([5.0, 2.0], 24) * weeks / 24
    counts = np.random.default_rng(seed).poisson(per_day * exposure).astype(float)
    return drawn_rates(counts, exposure, np.ones(48))


def test_a_stream_that_does_not_know_the_time_gets_flat_rates() -> None:
    errors = [np.abs(np.log(drawn(np.full(48, 14.0), 1, seed).relative)) for seed in range(8)]
    assert np.mean(errors) < 0.12
    # Each hour by itself would be off by far more: four alarms in an hour of a week.
    counts = np.random.default_rng(0).poisson(np.repeat([5.0, 2.0], 24) * 14 / 24)
    own = (counts + 0.5) / (np.repeat([5.0, 2.0], 24) * 14 / 24)
    assert np.abs(np.log(own)).mean() > 0.3


def test_quiet_nights_and_weekends_are_found_within_a_week() -> None:
    by_day = np.where((np.arange(24) >= 7) & (np.arange(24) < 20), 20.0, 1.5)
    per_day = np.concatenate([by_day, by_day / 5])
    relative = drawn(2 * per_day, 1).relative  # 120 alarms
    working, weekend = relative[:24], relative[24:]
    assert working[10:18].mean() > 4 * working[[22, 23, 0, 1, 2, 3]].mean()
    assert working[10:18].mean() > 2.5 * weekend[10:18].mean()


def test_many_data_give_each_hour_its_own_rate() -> None:
    """A school's gate: smoothing alone would give a third of the hour to its neighbours."""
    rush = np.ones(48)
    rush[[8, 17]] = 60.0
    relative = drawn(rush * 24, 8).relative
    assert relative[8] == pytest.approx(60 * 168 / (58 * 10 + 48 * 3.5), rel=0.6)
    assert relative[8] > 10 * relative[[6, 10, 7, 9]].max()


def test_a_burst_on_one_day_is_no_habit_of_its_hour() -> None:
    hours, watched_s = watched((MONDAY, 7 * 24))
    rng = np.random.default_rng(2)
    habit, burst = Peaks(), Peaks()
    for day in range(7):
        for came in sorted(rng.uniform(0, DAY_S, 12)):
            for peaks in (habit, burst):
                peaks.add(Cluster(peak=1.0), day * DAY_S + came)
        for minute in range(8):  # every day at noon, or all of them on one Wednesday
            habit.add(Cluster(peak=1.0), day * DAY_S + 12.5 * 3600 + minute)
    for minute in range(56):
        burst.add(Cluster(peak=1.0), 2 * DAY_S + 12.5 * 3600 + minute)
    found = [present(rates_at(hours, peaks, watched_s, 0.5, UTC)) for peaks in (habit, burst)]
    assert found[0].relative[12] > 2.5 * found[1].relative[12]


def test_without_wall_times_nothing_is_said() -> None:
    peaks = Peaks()
    peaks.add(Cluster(peak=1.0), 50.0)
    assert rates_at(WatchedHours(), peaks, 100.0, 0.5, UTC) is None
    hours, watched_s = watched((MONDAY, 1))
    found = present(rates_at(hours, peaks, watched_s, 0.5, UTC))
    assert found.watched.tolist() == [True] + 47 * [False]
