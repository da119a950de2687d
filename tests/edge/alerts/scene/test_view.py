"""A moved camera by real frames: what must be noticed, what must not, and how often it is told."""

from collections.abc import Callable
from itertools import cycle, islice
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.studies.altered import (
    black,
    blurred,
    darker,
    encoded,
    infrared,
    rainy,
    reframed,
    shadowed,
    signed,
)
from edge.alerts.scene.view import Moved, View, similarity

CAR, SHOP = ("car-detection.mp4", 24), ("retail02_h264_640x360_15.mp4", 30)
Picture = NDArray[np.int8]
Clip = Callable[[str, int], list[Picture]]
# (clip, every how many frames) -> what a camera sees, and the whole pictures it is cut out of.
Scene = Callable[[tuple[str, int]], tuple[list[Picture], list[Picture]]]

LONG = 90  # seconds: what lasts for a minute is told within


def watch(
    view: View,
    pictures: list[Picture],
    start: float = 0.0,
    seconds: int = LONG,
    every: float = 1.0,
) -> list[tuple[float, Moved]]:
    """Feed pictures over and over; what was told, with when."""
    looks = islice(cycle(pictures), int(seconds / every))
    told = ((start + count * every, pixels) for count, pixels in enumerate(looks))
    return [(at, moved) for at, pixels in told if (moved := view.step(pixels, at))]


@pytest.fixture(scope="session")
def scene(clip: Clip) -> Scene:
    """What a camera sees, and the whole picture that it is cut out of."""

    def load(which: tuple[str, int]) -> tuple[list[Picture], list[Picture]]:
        whole = clip(*which)
        return [reframed()(pixels) for pixels in whole], whole

    kept = {which: load(which) for which in (CAR, SHOP)}
    return kept.__getitem__


def kinds(told: list[tuple[float, Moved]]) -> list[str]:
    return [moved.kind for _, moved in told]


def moving(seed: int, count: int = 8) -> list[Picture]:
    """A scene without a clip: rectangles anywhere, and noise."""
    rng = np.random.default_rng(seed)
    still = np.full((3, 144, 256), 128)
    for _ in range(60):
        top, left, height, width = rng.integers(0, (134, 236, 60, 90))
        still[:, top : top + 8 + height, left : left + 8 + width] = rng.integers(30, 226, (3, 1, 1))
    noise = [rng.normal(0, 4, still.shape) for _ in range(count)]
    return [signed(np.clip(still + some, 0, 255).astype(np.uint8)) for some in noise]


@pytest.mark.footage
@pytest.mark.parametrize("which", [CAR, SHOP])
@pytest.mark.parametrize(
    "move",
    [
        {"right": 0.08},
        {"down": 0.08},
        {"right": -0.12},
        {"degrees": 8},
        {"zoom": 1.25},
        {"right": 0.05, "degrees": -4},
    ],
    ids=str,
)
def test_a_moved_camera_is_told_once_and_then_learned(
    scene: Scene, which: tuple[str, int], move: dict[str, float]
) -> None:
    before, whole = scene(which)
    after = [reframed(**move)(pixels) for pixels in whole]
    view = View()
    assert watch(view, before, seconds=40) == []
    told = watch(view, after, start=LONG, seconds=120)
    assert kinds(told) == ["moved"]
    ((at, moved),) = told
    assert LONG <= moved.since <= LONG + 20
    assert 60 <= at - moved.since <= 62
    assert moved.similarity < 0.45
    assert view.similarity > 0.8


@pytest.mark.footage
@pytest.mark.parametrize("which", [CAR, SHOP])
@pytest.mark.parametrize(
    "alter",
    [darker(0.5), darker(0.25), darker(1.5), infrared, rainy(0), shadowed],
    ids=["half", "quarter", "bright", "infrared", "rain", "shadow"],
)
def test_other_light_and_weather_are_no_other_view(
    scene: Scene, which: tuple[str, int], alter: Callable[[Picture], Picture]
) -> None:
    before, _ = scene(which)
    view = View()
    watch(view, before, seconds=40)
    assert watch(view, [alter(pixels) for pixels in before], start=LONG) == []
    assert view.similarity > 0.55


@pytest.mark.footage
@pytest.mark.parametrize("which", [CAR, SHOP])
def test_a_worse_encoding_is_no_other_view(scene: Scene, which: tuple[str, int]) -> None:
    before, _ = scene(which)
    view = View()
    watch(view, before, seconds=40)
    assert watch(view, encoded(before, 35), start=LONG) == []


@pytest.mark.footage
@pytest.mark.parametrize(
    ("name", "every"), [("car-detection.mp4", 6), ("people-door.mp4", 1), ("worker-zone.mp4", 2)]
)
def test_people_and_cars_that_pass_are_no_other_view(clip: Clip, name: str, every: int) -> None:
    assert watch(View(), clip(name, every), seconds=200) == []


@pytest.mark.footage
@pytest.mark.parametrize("which", [CAR, SHOP])
@pytest.mark.parametrize("alter", [black(), blurred], ids=["black", "blurred"])
def test_a_covered_lens_is_told_once_and_the_view_is_kept(
    scene: Scene, which: tuple[str, int], alter: Callable[[Picture], Picture]
) -> None:
    before, whole = scene(which)
    view = View()
    watch(view, before, seconds=40)
    told = watch(view, [alter(pixels) for pixels in before], start=LONG, seconds=120)
    assert kinds(told) == ["covered"]
    assert watch(view, before, start=1000) == []  # it is back: nothing to tell
    assert view.similarity > 0.8
    moved = [reframed(right=0.1)(pixels) for pixels in whole]
    assert kinds(watch(view, moved, start=2000)) == ["moved"]


def test_what_does_not_last_is_not_told() -> None:
    here, there = moving(1), moving(2)
    view = View()
    watch(view, here, seconds=40)
    for start in range(100, 400, 100):
        assert watch(view, there, start=start, seconds=50) == []
        assert watch(view, here, start=start + 50, seconds=50) == []
    assert kinds(watch(view, there, start=600)) == ["moved"]


def test_a_camera_that_is_turned_and_turned_back_is_told_twice() -> None:
    here, there = moving(1), moving(2)
    view = View()
    watch(view, here, seconds=40)
    assert kinds(watch(view, there, start=100)) == ["moved"]
    assert kinds(watch(view, here, start=200)) == ["moved"]


@pytest.mark.parametrize("after", [1, 2], ids=["the same", "another"])
def test_after_a_covered_lens_only_another_view_is_told(after: int) -> None:
    view = View()
    watch(view, moving(1))
    assert kinds(watch(view, [black()(pixels) for pixels in moving(1, 30)], start=100)) == [
        "covered"
    ]
    assert kinds(watch(view, moving(after), start=200)) == ["moved"][: after - 1]
    assert watch(view, moving(after), start=300) == []


def test_a_lens_that_is_handled_is_told_whatever_is_before_it() -> None:
    view = View()
    watch(view, moving(1))
    hands = [*moving(2, 15), *(black()(pixels) for pixels in moving(1, 15))]
    assert len(watch(view, hands, start=100, seconds=90)) == 1


def test_few_looks_tell_nothing_however_long_they_last() -> None:
    here, there = moving(1), moving(2)
    view = View()
    watch(view, here, seconds=600, every=10)
    assert watch(view, there, start=600, seconds=190, every=10) == []
    assert kinds(watch(view, there, start=790, seconds=100, every=10)) == ["moved"]


def test_more_samples_are_no_more_looks() -> None:
    slow, fast = View(), View()
    watch(slow, moving(3), seconds=30)
    watch(fast, moving(3), seconds=30, every=0.1)
    assert kinds(watch(fast, moving(4), start=30, every=0.1)) == ["moved"]
    assert kinds(watch(slow, moving(4), start=30)) == ["moved"]


def test_a_dark_room_is_learned_once_there_is_light() -> None:
    view = View()
    dark = [black(1)(pixels) for pixels in moving(5, 30)]
    assert watch(view, dark, seconds=200) == []
    assert watch(view, moving(5), start=200) == []
    assert kinds(watch(view, moving(6), start=300)) == ["moved"]


def test_an_even_wall_tells_nothing() -> None:
    wall = signed(np.full((3, 288, 512), 140, np.uint8))
    view = View()
    assert watch(view, [wall]) == []
    assert view.similarity == 1


def test_a_camera_moved_while_the_box_was_off_is_noticed() -> None:
    before = View()
    watch(before, moving(7))
    same, other = (View.from_bytes(before.to_bytes()) for _ in range(2))
    assert watch(same, moving(7)) == []
    assert same.similarity > 0.9
    assert kinds(watch(other, moving(8))) == ["moved"]


def test_bytes_come_back_as_they_went() -> None:
    view = View()
    watch(view, moving(9), seconds=30)
    data = view.to_bytes()
    assert View.from_bytes(data).to_bytes() == data


VIEW = View().to_bytes()


SAME_LENGTH = st.integers(0, 2**32).map(lambda seed: np.random.default_rng(seed).bytes(len(VIEW)))


@given(st.binary(max_size=100) | SAME_LENGTH | SAME_LENGTH.map(lambda data: VIEW[:12] + data[12:]))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="expected a view"):
        View.from_bytes(data)


@given(st.integers(0, len(VIEW) - 1), st.integers(1, 255))
def test_each_damaged_byte_is_refused(where: int, how: int) -> None:
    damaged = bytearray(VIEW)
    damaged[where] ^= how
    with pytest.raises(ValueError, match="expected a view"):
        View.from_bytes(bytes(damaged))
    with pytest.raises(ValueError, match="expected a view"):
        View.from_bytes(VIEW[:where])


def test_similarity_is_that_of_each_block_looked_for_everywhere() -> None:
    """Against loops over blocks and moves, written from the description."""
    rng = np.random.default_rng(0)
    usual = rng.normal(0, 1, (36, 64)).astype(np.float32)
    now = usual + rng.normal(0, 0.8, (36, 64)).astype(np.float32)
    now[:, 30:] = np.roll(usual, 2, axis=1)[:, 30:]  # the right half moved
    usual[:12, :20] *= 0.01  # a corner without contrast
    weights, in_place = [], []
    for top in range(3, 33, 6):
        for left in range(5, 59, 9):
            was = usual[top : top + 6, left : left + 9].astype(np.float64)
            energy = (was**2).sum()
            if energy <= 0.02 * 54:
                continue
            match = {}
            for down in range(-3, 4):
                for right in range(-5, 6):
                    there = now[top + down :][:6, left + right :][:, :9].astype(np.float64)
                    match[down, right] = (was * there).sum() / np.sqrt(
                        energy * (there**2).sum() + 1e-9
                    )
            here = now[top : top + 6, left : left + 9]
            weights.append(np.sqrt(energy))
            in_place.append(
                match[0, 0] >= 0.95 * max(match.values())
                and match[0, 0] > 0.3
                and (was * here).sum() > 0.3 * energy
            )
    expected = np.average(in_place, weights=weights)
    assert 0.2 < expected < 0.8
    assert similarity(usual, now) == pytest.approx(expected)


@pytest.mark.parametrize(("height", "width"), [(288, 512), (640, 360), (224, 224), (2, 2), (1, 1)])
def test_any_size_can_be_looked_at(height: int, width: int) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(-128, 128, (3, height, width)).astype(np.int8)
    assert watch(View(), [pixels]) == []


def test_what_is_no_number_is_refused_whatever_its_checksum() -> None:
    body = bytearray(VIEW[:-4])
    assert View.from_bytes(bytes(body) + crc32(body).to_bytes(4, "little"))  # the control
    body[-4:] = np.float32("nan").tobytes()
    with pytest.raises(ValueError, match="no number"):
        View.from_bytes(bytes(body) + crc32(body).to_bytes(4, "little"))
