"""Makes samples of real clips, and alters their light, lens and encoder, for tests and studies.

A picture is int8 pixels [3, H, W] (``edge.video.preprocess``); an alteration is a function of one.
"""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from edge.model.bundle.manifest import ImageSpec
from edge.video.preprocess import Preprocessor

Pixels = NDArray[np.int8]
Alteration = Callable[[Pixels], Pixels]


def image_spec(height: int = 288, width: int = 512) -> ImageSpec:
    """Return the preprocessing for pictures of this size, stretched."""
    return ImageSpec(
        height=height,
        width=width,
        resize="stretch",
        interpolation="bicubic",
        mean=(127, 127, 127),
        std=(128, 128, 128),
    )


def frames(path: Path, every: int) -> Iterator[av.VideoFrame]:
    """Yield one of ``every`` frames of a clip."""
    with av.open(str(path)) as container:
        for count, frame in enumerate(container.decode(video=0)):
            if count % every == 0:
                yield frame


def samples(path: Path, every: int, spec: ImageSpec) -> list[Pixels]:
    """Return one of ``every`` frames of a clip as a camera's samples."""
    preprocess = Preprocessor(spec)
    return [preprocess(frame) for frame in frames(path, every)]


def signed(u8: NDArray[np.uint8]) -> Pixels:
    """Convert uint8 to the int8 pixels of a sample."""
    return (u8 ^ np.uint8(0x80)).view(np.int8)


def unsigned(pixels: Pixels) -> NDArray[np.uint8]:
    """Convert the int8 pixels of a sample to uint8."""
    return pixels.view(np.uint8) ^ np.uint8(0x80)


def light(change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Alteration:
    """Alter pictures by a function of RGB 0..1, float [3, H, W]."""

    def alter(pixels: Pixels) -> Pixels:
        rgb = change(unsigned(pixels) / 255)
        return signed(np.round(np.clip(rgb, 0, 1) * 255).astype(np.uint8))

    return alter


def darker(factor: float) -> Alteration:
    """Multiply the brightness by ``factor``."""
    return light(lambda rgb: rgb * factor)


def infrared(pixels: Pixels) -> Pixels:
    """Make a picture grey with other tones, like one under infrared lamps."""
    weights = np.array([0.55, 0.35, 0.1])
    return light(lambda rgb: np.repeat((np.tensordot(weights, rgb, 1) ** 1.4)[None], 3, axis=0))(
        pixels
    )


def encoded(pictures: Sequence[Pixels], crf: int) -> list[Pixels]:
    """Encode pictures as H.264 and decode them; ``crf`` 35 is like a camera of low bandwidth."""
    _, height, width = pictures[0].shape
    encoder = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width, encoder.pix_fmt = height, width, "yuv420p"
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"crf": str(crf), "preset": "veryfast"}
    packets = [
        packet
        for pixels in pictures
        for packet in encoder.encode(
            av.VideoFrame.from_ndarray(
                np.ascontiguousarray(unsigned(pixels).transpose(1, 2, 0)), format="rgb24"
            )
        )
    ]
    packets += encoder.encode(None)
    decoder = av.CodecContext.create("h264", "r")
    decoded = [frame for packet in packets for frame in decoder.decode(packet)]
    decoded += decoder.decode(None)
    preprocess = Preprocessor(image_spec(height, width))
    return [preprocess(frame) for frame in decoded]


def reframed(right: float = 0, down: float = 0, degrees: float = 0, zoom: float = 1) -> Alteration:
    """Show a picture through a camera that sees four fifths of it, after a movement.

    Args:
        right: Movement to the right in widths of the view; up to 0.12 it stays in the picture.
        down: Movement down in heights of the view.
        degrees: Rotation around the line of sight.
        zoom: Factor of magnification.
    """

    def alter(pixels: Pixels) -> Pixels:
        _, height, width = pixels.shape
        rows, columns = np.mgrid[:height, :width].astype(np.float64)
        scale, turn = 0.8 / zoom, np.deg2rad(degrees)
        y, x = (rows - height / 2) * scale, (columns - width / 2) * scale
        y, x = y * np.cos(turn) - x * np.sin(turn), y * np.sin(turn) + x * np.cos(turn)
        y = np.clip(y + height * (0.5 + 0.8 * down), 0, height - 1.001)
        x = np.clip(x + width * (0.5 + 0.8 * right), 0, width - 1.001)
        top, left = y.astype(int), x.astype(int)
        below, beside = y - top, x - left
        u8 = unsigned(pixels).astype(np.float64)
        upper = u8[:, top, left] * (1 - beside) + u8[:, top, left + 1] * beside
        lower = u8[:, top + 1, left] * (1 - beside) + u8[:, top + 1, left + 1] * beside
        return signed(np.round(upper * (1 - below) + lower * below).astype(np.uint8))

    return alter


def noisy(deviation: float, seed: int = 0) -> Alteration:
    """Add noise with this standard deviation in levels of 255, different for each picture."""
    rng = np.random.default_rng(seed)
    return light(lambda rgb: rgb + rng.normal(0, deviation / 255, rgb.shape))


def rainy(seed: int) -> Alteration:
    """Add one bright streak per 600 pixels, at different places in each picture."""
    rng = np.random.default_rng(seed)

    def alter(pixels: Pixels) -> Pixels:
        u8 = unsigned(pixels)
        _, height, width = u8.shape
        for _ in range(height * width // 600):
            column, top = rng.integers(0, width), rng.integers(0, height)
            streak = u8[:, top : top + rng.integers(8, 20), column]
            streak[:] = streak // 2 + 110
        return signed(u8)

    return alter


def shadowed(pixels: Pixels) -> Pixels:
    """Put a shadow with a slanted edge over half of a picture."""
    _, height, width = pixels.shape
    rows, columns = np.mgrid[:height, :width]
    shade = np.where(columns / width + rows / height / 3 > 0.6, 0.45, 1)
    return light(lambda rgb: rgb * shade)(pixels)


def blurred(pixels: Pixels) -> Pixels:
    """Blur a picture far out of focus, by repeated means over a fifth of the height."""

    def change(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
        size = rgb.shape[1] // 5
        for axis in (1, 2, 1, 2):
            edges = [(0, 0)] * 3
            edges[axis] = (size // 2 + 1, size - size // 2 - 1)
            sums = np.cumsum(np.pad(rgb, edges, mode="edge"), axis=axis)
            length = rgb.shape[axis]
            later = sums.take(np.arange(size, size + length) - 1, axis=axis)
            rgb = (later - sums.take(np.arange(length), axis=axis)) / (size - 1)
        return rgb

    return light(change)(pixels)


def black(seed: int = 0) -> Alteration:
    """Replace a picture by that of a covered lens: sensor noise, different for each picture."""
    rng = np.random.default_rng(seed)

    def alter(pixels: Pixels) -> Pixels:
        return signed(np.clip(rng.normal(6, 3, pixels.shape), 0, 255).astype(np.uint8))

    return alter
