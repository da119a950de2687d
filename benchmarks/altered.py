"""Samples of real clips, and what light, lens and encoder make of them: for tests and measurements.

A picture is int8 pixels [3, H, W] (``edge.preprocess``); what alters it is a function of one.
"""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from edge.manifest import ImageSpec
from edge.preprocess import Preprocessor

Pixels = NDArray[np.int8]
Alteration = Callable[[Pixels], Pixels]


def image_spec(height: int = 288, width: int = 512) -> ImageSpec:
    """Pictures of this size, stretched."""
    return ImageSpec(
        height=height,
        width=width,
        resize="stretch",
        interpolation="bicubic",
        mean=(127, 127, 127),
        std=(128, 128, 128),
    )


def frames(path: Path, every: int) -> Iterator[av.VideoFrame]:
    """Every so many frames of a clip."""
    with av.open(str(path)) as container:
        for count, frame in enumerate(container.decode(video=0)):
            if count % every == 0:
                yield frame


def samples(path: Path, every: int, spec: ImageSpec) -> list[Pixels]:
    """The same as a camera's samples."""
    preprocess = Preprocessor(spec)
    return [preprocess(frame) for frame in frames(path, every)]


def signed(u8: NDArray[np.uint8]) -> Pixels:
    """uint8 as the int8 pixels of a sample."""
    return (u8 ^ np.uint8(0x80)).view(np.int8)


def unsigned(pixels: Pixels) -> NDArray[np.uint8]:
    """Its inverse."""
    return pixels.view(np.uint8) ^ np.uint8(0x80)


def light(change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Alteration:
    """Through a function of RGB 0..1, float [3, H, W]."""

    def alter(pixels: Pixels) -> Pixels:
        rgb = change(unsigned(pixels) / 255)
        return signed(np.round(np.clip(rgb, 0, 1) * 255).astype(np.uint8))

    return alter


def darker(factor: float) -> Alteration:
    """Brightness times ``factor``."""
    return light(lambda rgb: rgb * factor)


def infrared(pixels: Pixels) -> Pixels:
    """Grey and of another tonality, like a picture under infrared lamps."""
    weights = np.array([0.55, 0.35, 0.1])
    return light(lambda rgb: np.repeat((np.tensordot(weights, rgb, 1) ** 1.4)[None], 3, axis=0))(
        pixels
    )


def encoded(pictures: Sequence[Pixels], crf: int) -> list[Pixels]:
    """Through H.264 and back; ``crf`` 35 is a camera of little bandwidth."""
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
