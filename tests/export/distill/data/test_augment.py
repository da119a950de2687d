"""Variations of a picture: the same for teacher and student, on every machine."""

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.model.bundle.manifest import ImageSpec
from edge.video.preprocess import Preprocessor, pixels_of_rgb
from export.distill.data.augment import IDENTITY, Augmentation, apply, draw, pixels

SEEDS = st.integers(0, 2**64)
KEYS = st.text(max_size=30)
VIEWS = st.integers(1, 10**6)


GOLDEN = Augmentation(
    crop=(0.13749767209755503, 0.21856412526446373, 0.760642350173757, 0.7653006690162915),
    flip=True,
    gain=0.7961590835140681,
    contrast=1.091286294686186,
    saturation=1.0429242851460467,
)


def spec(side: int, resize: Any = "stretch") -> ImageSpec:
    return ImageSpec(
        height=side, width=side, resize=resize, interpolation="bicubic",
        mean=(127,) * 3, std=(128,) * 3,
    )  # fmt: skip


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_variation_is_the_same_on_every_machine() -> None:
    """Golden numbers: another order of draws, another hash or another generator changes them."""
    assert draw(7, "street/cat.png", 3) == GOLDEN
    code = "from export.distill.data.augment import draw; print(draw(7, 'street/cat.png', 3))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == repr(GOLDEN)


def test_drawing_neither_reads_nor_moves_the_global_generator() -> None:
    np.random.seed(1)  # noqa: NPY002 (the global one is what this is about)
    first = draw(1, "a", 1)
    after = np.random.random()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    assert np.random.random() == after  # noqa: NPY002
    assert draw(1, "a", 1) == first


@given(SEEDS, KEYS)
def test_variation_0_is_the_picture_itself(seed: int, key: str) -> None:
    picture = noise(5, 7)
    assert draw(seed, key, 0) == IDENTITY
    assert np.array_equal(apply(picture, draw(seed, key, 0)), picture)


@given(SEEDS, KEYS, VIEWS)
def test_a_variation_keeps_within_its_bounds(seed: int, key: str, number: int) -> None:
    drawn = draw(seed, key, number)
    top, left, height, width = drawn.crop
    assert 0 <= top <= top + height <= 1 + 1e-12
    assert 0 <= left <= left + width <= 1 + 1e-12
    assert 0.35 <= height * width * (1 + 1e-12) <= 1 + 1e-9
    assert 3 / 4 - 1e-12 <= width / height <= 4 / 3 + 1e-12
    assert 0.7 <= drawn.gain <= 1.3
    assert 0.8 <= drawn.contrast <= 1.2
    assert 0.6 <= drawn.saturation <= 1.4


def test_seed_key_and_number_each_make_another_variation_and_all_ranges_are_used() -> None:
    drawn = [
        draw(seed, key, number)
        for seed in range(10)
        for key in "abcdefghij"
        for number in range(1, 11)
    ]
    assert len(set(drawn)) == len(drawn) == 1000
    areas = [height * width for *_, height, width in (one.crop for one in drawn)]
    shapes = [math.log(width / height) for *_, height, width in (one.crop for one in drawn)]
    assert min(areas) < 0.36
    assert max(areas) > 0.99
    assert abs(np.mean(areas) - 0.675) < 0.03
    assert abs(np.mean(shapes)) < 0.02  # as often narrower as wider
    assert min(shapes) < math.log(0.76)
    assert max(shapes) > math.log(1.3)
    assert 0.45 < np.mean([one.flip for one in drawn]) < 0.55
    for name, low, high in (("gain", 0.7, 1.3), ("contrast", 0.8, 1.2), ("saturation", 0.6, 1.4)):
        values = [getattr(one, name) for one in drawn]
        assert min(values) < low + 0.01
        assert max(values) > high - 0.01


@given(st.integers(1, 40), st.integers(1, 40), SEEDS, VIEWS)
def test_a_crop_has_the_drawn_share_of_any_picture_and_at_least_a_pixel(
    height: int, width: int, seed: int, number: int
) -> None:
    drawn = draw(seed, "a", number)
    cropped = apply(noise(height, width), drawn)
    assert cropped.dtype == np.uint8
    rows, columns, channels = cropped.shape
    assert channels == 3
    assert rows == pytest.approx(drawn.crop[2] * height, abs=1.001)
    assert columns == pytest.approx(drawn.crop[3] * width, abs=1.001)
    assert min(rows, columns) >= 1


def test_crop_and_flip_take_the_pixels_that_they_say() -> None:
    picture = noise(20, 40)
    drawn = Augmentation((0.25, 0.5, 0.5, 0.25), flip=True, gain=1, contrast=1, saturation=1)
    assert np.array_equal(apply(picture, drawn), picture[5:15, 20:30][:, ::-1])


@pytest.mark.parametrize(
    ("change", "colour", "expected"),
    [
        ({"gain": 1.2}, (100, 50, 250), (120, 60, 255)),
        ({"contrast": 0.8}, (127, 227, 27), (127, 207, 47)),
        ({"saturation": 0.6}, (90, 90, 90), (90, 90, 90)),
        # Brightness 76.245: every value moves towards it by 40 %.
        ({"saturation": 0.6}, (255, 0, 0), (183, 30, 30)),
        ({"gain": 0.7, "contrast": 1.2, "saturation": 1.4}, (200, 100, 40), (168, 51, 0)),
    ],
)
def test_colours_change_as_computed_by_hand(
    change: dict[str, Any], colour: tuple[int, int, int], expected: tuple[int, int, int]
) -> None:
    same: dict[str, Any] = {
        "crop": IDENTITY.crop,
        "flip": False,
        "gain": 1,
        "contrast": 1,
        "saturation": 1,
    }
    picture = np.full((2, 3, 3), colour, np.uint8)
    coloured = apply(picture, Augmentation(**same | change))
    assert coloured.tolist() == np.full((2, 3, 3), expected).tolist()
    assert picture.tolist() == np.full((2, 3, 3), colour).tolist()


@given(SEEDS, VIEWS, st.integers(100, 300), st.integers(100, 300))
def test_teacher_and_student_see_the_same_crop_whatever_their_sizes(
    seed: int, number: int, height: int, width: int
) -> None:
    """Where the red quadrant ends is the same share of either's input."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2, 0] = 255
    seen = apply(picture, draw(seed, "a", number))
    shares = []
    for side in (64, 160):
        red = pixels(seen, Preprocessor(spec(side)))[0].astype(int) + 128
        lit = red > red.max() / 2 if red.max() > 60 else np.zeros_like(red, bool)
        shares.append((lit.any(1).mean(), lit.any(0).mean()))
    assert np.allclose(shares[0], shares[1], atol=2 / 64)


@pytest.mark.parametrize("resize", ["stretch", "shortest_edge", "letterbox"])
def test_pixels_are_those_of_the_device(resize: str) -> None:
    picture = noise(48, 80)
    flipped = picture[:, ::-1]  # not contiguous, as a variation is
    found = pixels(flipped, Preprocessor(spec(32, resize)))
    assert found.dtype == np.int8
    assert np.array_equal(found, pixels_of_rgb(flipped.copy(), spec(32, resize)))
