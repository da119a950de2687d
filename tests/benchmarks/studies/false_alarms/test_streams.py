"""Streams of margins: the same by seed, and as their sentences say."""

from itertools import islice

import numpy as np
import pytest

from benchmarks.studies.false_alarms.streams import (
    CENTRE,
    DAY,
    FPS,
    SPREAD,
    STREAMS,
    margins,
    stream,
)


@pytest.mark.parametrize("kind", STREAMS)
def test_a_seed_gives_the_same_stream_and_another_seed_another(kind: str) -> None:
    day, again, other = (next(stream(kind, seed)) for seed in (1, 1, 2))
    assert day.margins.shape == (DAY,)
    assert np.isfinite(day.margins).all()
    assert np.array_equal(day.margins, again.margins)
    assert day.jumps == again.jumps
    assert not np.array_equal(day.margins, other.margins)


@pytest.mark.parametrize(
    ("kind", "busy", "quiet"), [("insects", (22, 24), (12, 14)), ("headlights", (18, 20), (8, 10))]
)
def test_things_come_in_their_hours(
    kind: str, busy: tuple[int, int], quiet: tuple[int, int]
) -> None:
    days = [day.margins.reshape(24, -1) for day in islice(stream(kind, 2), 5)]
    highest = [np.mean([day[begin:end].max() for day in days]) for begin, end in (busy, quiet)]
    assert (highest[0] - highest[1]) / SPREAD > 1


def test_a_patrol_has_a_level_for_each_view() -> None:
    day = next(stream("patrol", 1)).margins.reshape(-1, 4, 120)
    levels = (day.mean(axis=(0, 2)) - CENTRE) / SPREAD
    assert levels.tolist() == pytest.approx([0.0, 1.0, -0.5, 0.4], abs=0.1)


def test_fog_comes_in_the_morning() -> None:
    ratios = []
    for seed in range(4):
        clear, foggy = next(stream("street", seed)).margins, next(stream("fog", seed)).margins
        ratios += [foggy.reshape(24, -1)[hour].std() / clear.std() for hour in (7, 15)]
    assert min(ratios[::2]) < 0.7 < min(ratios[1::2])


@pytest.mark.parametrize("kind", ["jumps", "lorry", "hunting exposure", "two scenes"])
def test_the_level_jumps_where_the_day_says_so(kind: str) -> None:
    near, far = [], []
    for day in islice(stream(kind, 1), 5):
        levels = day.margins.reshape(-1, 60).mean(axis=1) / SPREAD
        steps = np.abs(levels[2:] - levels[:-2])
        places = np.clip(np.array(day.jumps, int) // 60 - 1, 0, len(steps) - 1)
        near += steps[places].tolist()
        far += np.delete(steps, places).tolist()
    assert np.median(near) > 1
    # Negative control: elsewhere it does not.
    assert np.median(far) < 0.8


def test_a_street_is_busy_by_day_and_an_offices_street_on_weekdays() -> None:
    street, offices = (
        np.array([day.reshape(24, -1) for day in islice(margins(kind, 1), 7)])
        for kind in ("street", "weekly")
    )
    high = [(days > CENTRE + 3 * SPREAD).sum(axis=-1) for days in (street, offices)]
    assert high[0][:, 7:20].mean() > 5 * high[0][:, :7].mean()
    assert high[1][:5].mean() > 2 * high[1][5:].mean()
    assert high[0][:5].mean() < 2 * high[0][5:].mean()


def test_a_bus_comes_every_twenty_minutes() -> None:
    (day,) = islice(margins("bus", 1), 1)
    seen = np.flatnonzero(day > CENTRE + 2.5 * SPREAD) / FPS
    late = (seen + 600) % 1200 - 600
    assert np.mean(np.abs(late) < 150) > 0.8
