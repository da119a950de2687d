from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.video.spans import FROZEN_S
from edge.video.stillness import Stillness, brightness_of, shows_something

FPS = 10
_SCENES = np.kron(
    np.random.default_rng(2).integers(60, 200, (1, 12, 12)), np.ones((1, 8, 8), np.int64)
) + np.random.default_rng(3).integers(0, 9, (12, 96, 96))  # alike, and none the same as another


def scene(number: int) -> NDArray[np.uint8]:
    return _SCENES[number % len(_SCENES)].astype(np.uint8)


def frozen_at(
    pictures: Iterable[int], *, fps: float = 2.0, keyframe_s: float = 2.0, seconds: float = 100.0
) -> float | None:
    """The second at which a stream of these pictures, over and over, counts as frozen."""
    stillness, shown = Stillness(), list(pictures)
    for number in range(round(seconds * fps)):
        now = number / fps
        stillness.see(scene(shown[number % len(shown)]), now, keyframes=int(now / keyframe_s))
        if stillness.frozen:
            return now
    return None


@pytest.mark.parametrize("pictures", [[1], [1, 2], [1, 1, 2, 3]])
def test_a_picture_that_repeats_exactly_is_frozen(pictures: list[int]) -> None:
    assert frozen_at(pictures) == FROZEN_S


@pytest.mark.parametrize(
    ("pictures", "facts"),
    [
        (range(12), {}),  # each differs
        ([*range(5)], {}),  # a loop of five pictures
        ([1] * 30 + [2, 3, 4, 5], {}),  # something moved meanwhile
        ([1], {"keyframe_s": 60.0}),  # no keyframe has renewed the picture
        ([1], {"fps": 0.05}),  # too few looks
    ],
)
def test_a_scene_that_lives_is_not_frozen(pictures: list[int], facts: dict[str, float]) -> None:
    assert frozen_at(pictures, **facts) is None


def test_a_loop_of_two_pictures_with_a_thing_that_jumps_is_not_frozen() -> None:
    stillness, ever = Stillness(), False
    there = scene(1)
    there[:32, :32] = 255 - there[:32, :32]
    for number in range(100):
        stillness.see((scene(1), there)[number % 2], number / 2, number // 4)
        ever |= stillness.frozen
    assert not ever


@pytest.mark.parametrize("level", [16, 20, 130])
def test_a_lens_that_sees_nothing_is_left_to_the_watch_for_a_covered_one(level: int) -> None:
    covered = np.full((96, 96), level, np.uint8)
    covered[4:12, 4:40] = 235  # the camera writes its name
    stillness = Stillness()
    for number in range(200):
        stillness.see(covered, number / 2, number // 4)
        assert not stillness.frozen
    assert not shows_something(covered)
    assert shows_something(scene(1))


def test_new_pictures_end_it_and_the_next_stretch_is_counted_from_there() -> None:
    stillness = Stillness(10.0)

    def show(picture: int, second: int) -> bool:
        stillness.see(scene(picture), second, second)
        return stillness.frozen

    assert [show(0, second) for second in range(12)][9:] == [False, True, True]
    assert [show(picture, 11 + picture) for picture in (1, 2, 3, 4)][-1] is False
    shown = [show(4, second) for second in range(16, 26)]
    assert (shown[0], shown[-1]) == (False, True)


def test_a_thing_that_comes_ends_it_at_once() -> None:
    stillness = Stillness(10.0)
    for second in range(12):
        stillness.see(scene(0), second, second)
    assert stillness.frozen
    visited = scene(0)
    visited[40:60, 40:50] = 255 - visited[40:60, 40:50]
    stillness.see(visited, 12, 12)
    assert not stillness.frozen


def encoded(
    noise: float, seconds: float, **options: str
) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """What the daemon sees of a still picture: two samples a second, with keyframes so far."""
    rng = np.random.default_rng(1)
    blocks = np.kron(rng.integers(40, 200, (18, 16)), np.ones((15, 20), np.int64))
    scene = blocks + rng.normal(0, 1, blocks.shape)  # below the picture are its colours
    encoder = av.VideoCodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 320, 180, "yuv420p"
    encoder.time_base, encoder.gop_size = Fraction(1, FPS), 2 * FPS
    encoder.framerate = Fraction(FPS)
    encoder.options = {"preset": "veryfast", "sc_threshold": "0", "bf": "0", **options}
    decoder = av.VideoCodecContext.create("h264", "r")
    keyframes, shown = 0, 0
    for number in range(round(seconds * FPS)):
        picture = np.clip(scene + rng.normal(0, noise, scene.shape), 0, 255).round()
        frame = av.VideoFrame.from_ndarray(picture.astype(np.uint8), format="yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, FPS)
        for encoded_packet in encoder.encode(frame):
            for packet in decoder.parse(bytes(encoded_packet)):
                keyframes += packet.is_keyframe
                for decoded in decoder.decode(packet):
                    if shown % (FPS // 2) == 0:
                        yield brightness_of(decoded), keyframes
                    shown += 1


ENCODERS = {
    "quality": {"crf": "23"},
    "rate": {"b": "400k", "maxrate": "400k", "bufsize": "400k"},
    "filler": {"b": "800k", "maxrate": "800k", "bufsize": "800k", "nal-hrd": "cbr"},
    "b-frames": {"b": "400k", "maxrate": "400k", "bufsize": "400k", "bf": "3"},
}


LIVE = ("quality", "rate")


@pytest.mark.parametrize(
    ("encoder", "noise"), [*((name, 0.0) for name in ENCODERS), *((name, 0.3) for name in LIVE)]
)
def test_an_encoders_frozen_picture_is_told_from_a_still_scene_with_noise(
    encoder: str, noise: float
) -> None:
    stillness, ever = Stillness(12.0), False
    for number, (pixels, keyframes) in enumerate(encoded(noise, 30.0, **ENCODERS[encoder])):
        stillness.see(pixels, number / 2, keyframes)
        ever |= stillness.frozen
    assert ever is (noise == 0.0)


def test_a_small_faint_thing_that_comes_is_a_new_picture() -> None:
    stillness = Stillness(10.0)
    yard: NDArray[np.uint8] = np.kron(scene(0)[::8, ::8], np.ones((20, 20), np.uint8))
    for second in range(12):
        stillness.see(yard, second, second)
    assert stillness.frozen
    for second in range(12, 16):  # it moves on, four pixels of 50,000
        seen = yard.copy()
        seen[100:102, 2 * second : 2 * second + 2] += 6
        stillness.see(seen, second, second)
    assert not stillness.frozen


@pytest.mark.parametrize("form", ["yuv420p", "nv12", "yuvj422p", "gray", "yuv420p10le", "rgb24"])
def test_brightness_is_that_of_single_pixels_in_every_format(form: str) -> None:
    shown = np.tile(np.arange(16, 232, dtype=np.uint8), (900, 8))  # 1728 wide, and rows are padded
    frame = av.VideoFrame.from_ndarray(shown, format="gray").reformat(format=form)
    seen = brightness_of(frame)
    assert 30_000 < seen.size < 70_000
    assert np.ptp(seen, axis=0).max() <= 1  # each row has the same pixels, and no padding
    assert np.ptp(seen) >= 175
    assert np.abs(np.diff(seen[0, :30].astype(int))).min() >= 3  # nothing is averaged
