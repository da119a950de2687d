"""A camera's last T samples, as one clip."""

import gc
import weakref
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.scoring.window import MAX_UNEVENNESS, Window
from edge.video.sample import Arrival, Sample

SHAPE = (3, 2, 2)


def sample(at: float, value: int = 0) -> Sample:
    return Sample("porch", 0, Arrival(0, at, None), np.full(SHAPE, value, np.int8))


def filled(frames: int, times: list[float]) -> Window:
    window = Window(frames)
    for value, at in enumerate(times):
        window.push(sample(at, value % 100))
    return window


def times_of(window: Window) -> list[float]:
    return [arrival.monotonic for arrival in window.arrivals]


def clip_of(window: Window, frames: int) -> np.ndarray:
    clip = np.empty((frames, *SHAPE), np.int8)
    window.copy_to(clip)
    return clip


def is_even(times: list[float]) -> bool:
    spacings = [newer - older for older, newer in pairwise(times)]
    return not spacings or (min(spacings) > 0 and max(spacings) <= MAX_UNEVENNESS * min(spacings))


# Regular spacings, jitter, lost samples, reconnects, bursts, and arrivals that go backwards.
spacings = st.lists(
    st.one_of(
        st.just(0.5),
        st.floats(0.25, 0.75),
        st.floats(1.0, 1.25),
        st.floats(2.0, 3600.0),
        st.floats(-1.0, 0.1),
    ),
    max_size=40,
)


@given(frames=st.integers(2, 8), spacings=spacings)
def test_a_window_holds_the_newest_samples_that_are_evenly_spaced_and_no_fewer(
    frames: int, spacings: list[float]
) -> None:
    times = [0.0, *np.cumsum(spacings).tolist()]
    window = Window(frames)
    for count, at in enumerate(times, start=1):
        window.push(sample(at))
        seen = times[:count]
        expected = next(tail for start in range(count) if is_even(tail := seen[start:]))
        assert times_of(window) == expected[-frames:]
        assert window.is_full == (len(expected) >= frames)


@given(frames=st.integers(2, 8), jitter=st.lists(st.floats(-0.125, 0.125), min_size=9, max_size=30))
def test_jitter_that_the_sampler_lets_through_never_empties_a_window(
    frames: int, jitter: list[float]
) -> None:
    window = filled(frames, [0.5 * count + late for count, late in enumerate(jitter)])
    assert window.is_full


@given(count=st.integers(4, 30))
def test_the_clip_is_the_newest_frames_oldest_first(count: int) -> None:
    window = filled(4, [0.5 * number for number in range(count)])
    assert clip_of(window, 4)[:, 0, 0, 0].tolist() == list(range(count - 4, count))


def test_after_a_reconnect_the_window_fills_anew() -> None:
    window = filled(4, [0.0, 0.5, 1.0, 1.5])
    assert window.is_full
    for at in (8.0, 8.5, 9.0):
        window.push(sample(at))
        assert not window.is_full, "a clip that spans the gap shows a jump that never happened"
    window.push(sample(9.5))
    assert times_of(window) == [8.0, 8.5, 9.0, 9.5]
    assert window.is_full


def test_a_gap_before_the_rhythm_is_known_is_found_once_it_is() -> None:
    window = filled(4, [0.0, 60.0])
    assert times_of(window) == [0.0, 60.0]  # perhaps a sample a minute
    window.push(sample(60.5))
    assert times_of(window) == [60.0, 60.5]


def test_one_sample_that_was_dropped_is_no_gap() -> None:
    assert filled(4, [0.0, 0.5, 1.5, 2.0]).is_full


def test_the_same_sample_twice_starts_over() -> None:
    assert times_of(filled(4, [0.0, 0.5, 1.0, 1.0])) == [1.0]


def test_a_clip_is_a_copy_and_so_is_a_window_of_samples() -> None:
    window = Window(2)
    older, newer = sample(0.0, 1), sample(0.5, 2)
    window.push(older)
    window.push(newer)
    clip = clip_of(window, 2)
    clip[:] = 9
    assert clip_of(window, 2)[:, 0, 0, 0].tolist() == [1, 2]
    newer.pixels[:] = 3  # a sample's pixels are the camera's, which writes the next ones there
    assert clip_of(window, 2)[:, 0, 0, 0].tolist() == [1, 2]


def test_memory_stays_at_t_samples() -> None:
    window = Window(4)
    alive = []
    for count in range(1000):
        pushed = sample(0.5 * count)
        alive.append(weakref.ref(pushed.pixels))
        window.push(pushed)
    del pushed
    gc.collect()
    assert [pixels for pixels in alive if pixels() is not None] == []
    assert len(window.arrivals) == 4


@pytest.mark.parametrize(
    ("pushed", "shape", "message"),
    [
        (3, (4, *SHAPE), "expected 4 samples .*found 3"),
        (4, (4, 3, 2, 1), r"for a clip \[4, 3, 2, 1\], found 4 of \[\(3, 2, 2\)\]"),
        (4, (5, *SHAPE), r"for a clip \[5, 3, 2, 2\], found 4"),
    ],
)
def test_a_clip_that_does_not_fit_is_refused_and_not_stretched(
    pushed: int, shape: tuple[int, int, int, int], message: str
) -> None:
    window = filled(4, [0.5 * count for count in range(pushed)])
    with pytest.raises(ValueError, match=message):
        window.copy_to(np.empty(shape, np.int8))


def moving(at: float, sequence: int) -> Sample:
    return Sample("porch", sequence, Arrival(0, at, None), np.full(SHAPE, sequence, np.int8))


def heartbeat(at: float, sequence: int) -> Sample:
    return replace(moving(at, sequence), heartbeat=True)


def values_of(window: Window, frames: int) -> list[int]:
    return [int(frame[0, 0, 0]) for frame in clip_of(window, frames)]


def test_a_still_picture_is_a_clip_of_itself_and_not_of_its_heartbeats() -> None:
    window = Window(4)
    for sequence in range(4):
        window.push(moving(sequence / 2, sequence))
    window.push(heartbeat(12, 4))
    window.push(heartbeat(22, 5))
    assert values_of(window, 4) == [5, 5, 5, 5]
    assert is_even(times_of(window))
    # The first movement shows what was still until then, and the clip goes on from there.
    window.push(moving(27, 6))
    assert values_of(window, 4) == [5, 5, 5, 6]
    assert times_of(window) == [25.5, 26, 26.5, 27]
    window.push(moving(27.5, 7))
    assert values_of(window, 4) == [5, 5, 6, 7]


def test_what_was_lost_after_a_heartbeat_is_not_taken_for_still() -> None:
    for later in (moving(12, 5), moving(60, 4)):  # a lost sample, and a camera that was away
        window = Window(4)
        for sequence in range(3):
            window.push(moving(sequence / 2, sequence))
        window.push(heartbeat(11, 3))
        assert window.is_full
        window.push(later)
        assert not window.is_full


@pytest.mark.parametrize("still", [False, True])
def test_a_clip_spans_no_break_however_short(still: bool) -> None:
    window = Window(3)
    for sequence in range(3):
        window.push(moving(sequence / 2, sequence))
    after = replace(moving(1.5, 3), after_break=True, heartbeat=still)
    window.push(after)
    assert times_of(window) == [1.5]
    window = Window(3)
    for sequence in range(3):
        window.push(moving(sequence / 2, sequence))
    window.push(replace(after, after_break=False))
    assert window.is_full


def test_heartbeats_alone_fill_no_window() -> None:
    window = Window(3)
    for sequence in range(3):
        window.push(heartbeat(10.0 * sequence, sequence))
    assert not window.is_full
