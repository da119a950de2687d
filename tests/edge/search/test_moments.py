"""Moments on streams with planted events: jittered times, lost frames, silences."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.search.moments import Moment, Shape, find_moments, smoothed

EPOCH = 1_750_000_000.0


def stream(
    rng: np.random.Generator,
    fps: float,
    seconds: int,
    event: tuple[float, float],
    *,
    jitter: float = 0.2,
    lost: float = 0.1,
    noise: float = 0.04,
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Times and scores of a camera that sees one event, 0.3 above what else it sees."""
    period = 1 / fps
    times = (
        np.arange(0, seconds, period) + rng.uniform(-jitter, jitter, int(seconds * fps)) * period
    )
    times = np.sort(times[rng.random(len(times)) >= lost])
    seen = (times >= event[0]) & (times < event[1])
    scores = rng.normal(0.02, noise, len(times)) + 0.3 * seen
    return EPOCH + times, scores.astype(np.float32)


def overlap(moment: Moment, event: tuple[float, float]) -> float:
    """Intersection over union of two stretches of time."""
    start, end = moment.start - EPOCH, moment.end - EPOCH
    common = max(0.0, min(end, event[1]) - max(start, event[0]))
    return common / (max(end, event[1]) - min(start, event[0]))


def half_overlaps(moment: Moment, event: tuple[float, float]) -> bool:
    return overlap(moment, event) >= 0.5


def peak_is_inside(moment: Moment, event: tuple[float, float]) -> bool:
    return event[0] <= moment.peak - EPOCH < event[1]


def recall_at_1(
    fps: float,
    lasting: int,
    is_hit: Callable[[Moment, tuple[float, float]], bool] = half_overlaps,
    trials: int = 200,
    **how: Any,
) -> float:
    """How often the best moment is the event."""
    rng, hits = np.random.default_rng(7), 0
    for _ in range(trials):
        start = rng.uniform(20, 200)
        event = (start, start + lasting)
        found = find_moments(*stream(rng, fps, 300, event, **how), Shape(silence_s=30))
        hits += bool(found) and is_hit(found[0], event)
    return hits / trials


@pytest.mark.parametrize("lasting", [3, 4, 6, 10, 30])
def test_the_best_moment_is_the_planted_event_at_one_frame_a_second(lasting: int) -> None:
    assert recall_at_1(1, lasting) >= 0.9


def test_at_one_frame_in_four_seconds_a_short_event_is_missed_as_often_as_no_frame_shows_it() -> (
    None
):
    # A frame falls into three seconds with chance 3/4, and then stands for four: it overlaps by
    # half where it lies within 7/6 s of the event's middle, chance 7/12.
    sparse: dict[str, Any] = {"lost": 0, "noise": 0.02}
    assert recall_at_1(0.25, 3, peak_is_inside, **sparse) == pytest.approx(3 / 4, abs=0.1)
    assert recall_at_1(0.25, 3, **sparse) == pytest.approx(7 / 12, abs=0.1)
    assert recall_at_1(0.25, 30, **sparse) >= 0.9


def test_without_an_event_no_moment_overlaps_it() -> None:
    rng = np.random.default_rng(1)
    times, scores = stream(rng, 1, 300, (-10, -5))
    found = find_moments(times, scores, Shape())
    assert not found or overlap(found[0], (100, 110)) < 0.5


def test_the_boundaries_are_right_to_one_sample() -> None:
    rng = np.random.default_rng(3)
    for _ in range(100):
        event = (50.0, 50 + rng.uniform(3, 30))
        times, scores = stream(rng, 1, 120, event, noise=0.01, lost=0)
        (best, *_) = find_moments(times, scores, Shape())
        interval = np.diff(times).max()
        assert abs(best.start - EPOCH - event[0]) <= interval
        assert abs(best.end - EPOCH - event[1]) <= interval


def at(*seconds: int) -> NDArray[np.float64]:
    return EPOCH + np.array(seconds, np.float64)


def scores(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


RAW = Shape(smooth_s=0)


def test_a_moment_reaches_halfway_to_its_neighbours_and_names_its_peak() -> None:
    (found,) = find_moments(at(0, 1, 2, 3, 4), scores(0, 0.5, 1, 0.7, 0), RAW)
    assert found == Moment(EPOCH + 0.5, EPOCH + 3.5, 1.0, EPOCH + 2)


def test_a_score_between_the_levels_carries_a_moment_on_but_begins_none() -> None:
    found = find_moments(
        at(0, 1, 2, 3, 10, 11, 12), scores(0, 1, 0.5, 0, 0, 0.5, 0), Shape(smooth_s=0, merge_s=0)
    )
    assert [(moment.start, moment.end) for moment in found] == [(EPOCH + 0.5, EPOCH + 2.5)]


def test_a_short_pause_is_bridged_and_a_long_one_is_not() -> None:
    times, values = at(*range(9)), scores(1, 1, 0, 1, 1, 0, 0, 0, 1)
    ends = [(m.start - EPOCH, m.end - EPOCH) for m in find_moments(times, values, Shape(smooth_s=0, merge_s=2))]  # fmt: skip
    assert ends == [(-0.5, 4.5), (7.5, 8.5)]


def test_what_is_too_short_is_dropped() -> None:
    times, values = at(*range(12)), scores(0, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0)
    assert len(find_moments(times, values, RAW)) == 2
    (left,) = find_moments(times, values, Shape(smooth_s=0, least_s=2))
    assert left.start == EPOCH + 6.5


def test_nothing_lasts_across_a_silence() -> None:
    times, values = at(0, 1, 2, 3600, 3601, 3602), scores(0, 1, 1, 1, 1, 0)
    found = sorted((m.start - EPOCH, m.end - EPOCH) for m in find_moments(times, values, RAW))
    assert found == [(0.5, 2.5), (3599.5, 3601.5)]
    # The control: with a longer patience it is one.
    (one,) = find_moments(times, values, Shape(smooth_s=0, silence_s=1e4, merge_s=1e4))
    assert one.end - one.start == 3601


def test_a_weak_moment_of_another_run_is_found_beside_a_strong_one_and_ranked_behind() -> None:
    times = at(0, 1, 2, 1000, 1001, 1002)
    found = find_moments(times, scores(0, 0.1, 0, 0, 1, 0), RAW)
    assert [moment.peak - EPOCH for moment in found] == [1001, 1]


@pytest.mark.parametrize("values", [(), (0.0, -0.1), (-1.0,)])
def test_where_nothing_is_above_zero_there_is_no_moment(values: tuple[float, ...]) -> None:
    assert find_moments(at(*range(len(values))), scores(*values), Shape()) == []


def test_a_sample_alone_is_an_instant() -> None:
    score: Any = pytest.approx(0.2)
    assert find_moments(at(5), scores(0.2), Shape()) == [
        Moment(EPOCH + 5, EPOCH + 5, score, EPOCH + 5)
    ]


def test_smoothing_is_the_gaussian_mean_over_time_not_over_frames() -> None:
    rng = np.random.default_rng(5)
    times = EPOCH + np.cumsum(rng.uniform(0.05, 2, 60))
    values = rng.normal(size=60).astype(np.float32)
    near = np.exp(-0.5 * ((times[:, None] - times) / 0.5) ** 2)
    near[np.abs(times[:, None] - times) > 2.0] = 0
    expected = near @ values / near.sum(axis=1)
    assert np.allclose(smoothed(times, values, 0.5), expected, atol=1e-6)


@given(
    st.lists(st.floats(0, 1e5), max_size=40),
    st.lists(st.floats(-2, 2, width=32), min_size=40, max_size=40),
    st.floats(0, 5),
)
def test_whatever_the_samples_moments_lie_apart_within_them_best_first(
    offsets: list[float], values: list[float], smooth_s: float
) -> None:
    times = EPOCH + np.sort(np.array(offsets, np.float64))
    found = find_moments(times, scores(*values[: len(times)]), Shape(smooth_s=smooth_s))
    assert [m.score for m in found] == sorted((m.score for m in found), reverse=True)
    in_time = sorted(found, key=lambda m: (m.start, m.end))
    for moment in found:
        assert moment.start <= moment.peak <= moment.end
        assert moment.score > 0
    for before, after in pairwise(in_time):
        assert before.end <= after.start


@pytest.mark.parametrize(("enter", "leave"), [(0.4, 0.6), (0.5, 0), (1.1, 0.5)])
def test_levels_that_nothing_can_cross_are_refused(enter: float, leave: float) -> None:
    with pytest.raises(ValueError, match="expected 0 < exit <= enter <= 1"):
        Shape(enter=enter, exit=leave)
