from collections.abc import Iterable

import numpy as np
import pytest

from edge.video.stillness import FROZEN_S, Stillness


def frozen_at(
    pictures: Iterable[int], *, fps: float = 2.0, keyframe_s: float = 2.0, seconds: float = 200.0
) -> float | None:
    """The second at which a stream of these pictures, over and over, counts as frozen."""
    stillness, shown = Stillness(), list(pictures)
    for number in range(round(seconds * fps)):
        now = number / fps
        pixels = np.full((3, 4, 4), shown[number % len(shown)], np.int8)
        stillness.see(pixels, now, keyframes=int(now / keyframe_s))
        if stillness.frozen:
            return now
    return None


@pytest.mark.parametrize("pictures", [[1], [1, 2], [1, 1, 2, 3]])
def test_a_picture_that_repeats_exactly_is_frozen(pictures: list[int]) -> None:
    assert frozen_at(pictures) == FROZEN_S


@pytest.mark.parametrize(
    ("pictures", "facts"),
    [
        (range(100), {}),  # noise: each differs
        ([*range(5)], {}),  # a loop of five pictures
        ([1] * 100 + [2, 3, 4, 5], {}),  # something moved meanwhile
        ([1], {"keyframe_s": 60.0}),  # no keyframe has renewed the picture
        ([1], {"fps": 0.05}),  # too few samples
    ],
)
def test_a_scene_that_lives_is_not_frozen(pictures: list[int], facts: dict[str, float]) -> None:
    assert frozen_at(pictures, **facts) is None


def test_the_first_new_picture_ends_it_and_the_next_stretch_is_counted_from_there() -> None:
    stillness = Stillness(10.0)

    def show(picture: int, second: int) -> bool:
        stillness.see(np.full((3, 2, 2), picture, np.int8), second, second)
        return stillness.frozen

    assert [show(0, second) for second in range(12)][9:] == [False, True, True]
    assert [show(picture, 11 + picture) for picture in (1, 2, 3, 4)][-1] is False
    assert [show(4, second) for second in range(16, 24)][-1] is True
