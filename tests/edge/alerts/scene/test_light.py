"""Day or night, by real frames and by even pictures."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.studies.altered import darker, frames, image_spec, infrared, signed
from edge.alerts.scene.light import Light
from edge.video.placement import without_borders
from edge.video.preprocess import Preprocessor

CLIPS = {"car-detection.mp4": 25, "retail02_h264_640x360_15.mp4": 30, "worker-zone.mp4": 15}
EVEN = np.full((3, 72, 128), 255, np.uint8)


def even(red: int, green: int, blue: int) -> NDArray[np.int8]:
    """Left half of one colour, right half grey of the same luma, so that there is colour."""
    u8 = np.zeros((3, 72, 128), np.uint8)
    u8[:] = round(0.299 * red + 0.587 * green + 0.114 * blue)
    u8[:, :, :64] = np.array([red, green, blue], np.uint8)[:, None, None]
    return signed(u8)


DAY, NIGHT = even(200, 120, 90), even(20, 12, 9)
DUSK = even(72, 43, 32)  # between the limits: luma 0.2


def words(
    light: Light, pictures: list[NDArray[np.int8]], every: float = 1.0, start: float = 0.0
) -> list[str]:
    return [light.step(pixels, start + count * every).word for count, pixels in enumerate(pictures)]


def test_brightness_and_colour_are_those_of_the_picture() -> None:
    reading = Light().step(DAY, 0)
    assert reading.brightness == pytest.approx(140.5 / 255, abs=0.003)
    # BT.601 by hand: half the picture has Cb, Cr of the colour, the other half none.
    luma = (0.299 * 200 + 0.587 * 120 + 0.114 * 90) / 255
    cb, cr = (90 / 255 - luma) / 1.772, (200 / 255 - luma) / 1.402
    assert reading.colour == pytest.approx(np.hypot(cb, cr) / 2 / reading.brightness, rel=0.02)


@pytest.mark.footage
@pytest.mark.parametrize("name", CLIPS)
def test_real_days_are_days_and_their_infrared_is_night(
    clip: Callable[[str, int], list[NDArray[np.int8]]], name: str
) -> None:
    samples = clip(name, CLIPS[name])
    assert set(words(Light(), samples)) == {"day"}
    assert set(words(Light(), [darker(0.7)(pixels) for pixels in samples])) == {"day"}
    assert set(words(Light(), [infrared(pixels) for pixels in samples])) == {"night"}
    dark = [darker(0.15)(pixels) for pixels in samples]
    assert set(words(Light(), dark)) == {"night"}


@pytest.mark.footage
def test_chroma_noise_of_an_infrared_picture_is_no_colour(footage: Path) -> None:
    rng = np.random.default_rng(0)
    preprocess, light = Preprocessor(image_spec()), Light()
    for frame in frames(footage / "car-detection.mp4", 50):
        planes = frame.reformat(format="yuv420p").to_ndarray()
        chroma = planes[frame.height :]
        chroma[:] = rng.integers(127, 130, chroma.shape)
        grey = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        assert light.step(preprocess(grey), 0).word == "night"


def test_another_exposure_has_the_same_colour() -> None:
    dim, bright = Light().step(darker(0.5)(DAY), 0), Light().step(DAY, 0)
    assert dim.colour == pytest.approx(bright.colour, rel=0.05)
    assert dim.brightness == pytest.approx(bright.brightness / 2, rel=0.05)


def test_an_even_tint_is_no_colour() -> None:
    tinted = EVEN // 2
    tinted[0] += 40
    assert Light().step(signed(tinted), 0).word == "night"


def test_the_word_changes_only_once_the_other_light_has_lasted() -> None:
    light = Light()
    assert words(light, [DAY] * 10) == ["day"] * 10
    assert words(light, [NIGHT] * 59, start=10) == ["day"] * 59
    assert light.step(NIGHT, 70).word == "night"
    assert words(light, [DAY] * 61, start=71)[-2:] == ["night", "day"]


def test_headlights_make_no_day() -> None:
    light = Light()
    assert set(words(light, ([NIGHT] * 50 + [DAY] * 20) * 5)) == {"night"}


def test_at_dusk_the_word_stays_what_it_was() -> None:
    by_day, by_night = Light(), Light()
    assert set(words(by_day, [DAY] + [DUSK] * 300)) == {"day"}
    assert set(words(by_night, [NIGHT] + [DUSK] * 300)) == {"night"}


def test_flicker_across_both_limits_never_changes_the_word() -> None:
    rng = np.random.default_rng(1)
    noisy = [darker(factor)(DUSK) for factor in rng.uniform(0.6, 1.3, 300)]
    assert len(set(words(Light(), noisy))) == 1


@pytest.mark.parametrize(("height", "width"), [(288, 512), (512, 288), (224, 224), (2, 2), (1, 1)])
def test_any_size_has_its_light(height: int, width: int) -> None:
    bright = signed(np.full((3, height, width), 255, np.uint8))
    assert Light().step(bright, 0).brightness == pytest.approx(1)


@pytest.mark.parametrize(("rows", "columns"), [(360, 600), (600, 360), (300, 300)])
def test_a_letterbox_changes_nothing(rows: int, columns: int) -> None:
    rng = np.random.default_rng(2)
    rgb = np.kron(rng.integers(0, 60, (rows // 60, columns // 60, 3)), np.ones((60, 60, 1)))
    frame = av.VideoFrame.from_ndarray(rgb.astype(np.uint8), format="rgb24")
    letterbox = image_spec(320, 320).model_copy(update={"resize": "letterbox"})
    boxed = Preprocessor(letterbox)(frame)
    tall, wide = min(320, 320 * rows // columns), min(320, 320 * columns // rows)
    assert without_borders(boxed).shape == (3, tall, wide)
    plain = Preprocessor(image_spec(tall, wide))(frame)
    with_borders, without = Light().step(boxed, 0), Light().step(plain, 0)
    assert with_borders.word == without.word == "night"
    assert with_borders.brightness == pytest.approx(without.brightness, rel=0.05)
    assert with_borders.colour == pytest.approx(without.colour, rel=0.15)


def test_an_even_grey_picture_has_no_borders() -> None:
    grey = signed(np.full((3, 64, 64), 127, np.uint8))
    assert without_borders(grey).shape == (3, 64, 64)
    assert Light().step(grey, 0).word == "night"
