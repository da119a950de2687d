"""Draws and applies variations of pictures, alike for teacher and student at any input size.

A variation depends only on a seed, the key of the picture and the number of the variation. So the
answers of the teacher can be kept on disk, and a student that trains elsewhere, in other batches or
in several processes sees exactly the answered picture. A variation is applied to the picture
before the preprocessing of a model, which is the code that the device runs.
"""

import hashlib
import math
from dataclasses import dataclass
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from edge.video.preprocess import Preprocessor

# Smallest area of a crop as a share of the picture: captions do not describe smaller parts.
_LEAST_AREA: Final = 0.35
# Narrowest aspect ratio of a crop over the picture's own; the widest is its inverse.
_NARROWEST: Final = 3 / 4
_GAIN: Final = (0.7, 1.3)
_CONTRAST: Final = (0.8, 1.2)
_SATURATION: Final = (0.6, 1.4)
# Grey value that a change of contrast keeps: the zero of the models' input.
_GREY: Final = np.float32(127)
# Weights of red, green and blue in the brightness of ITU-R BT.601, as in JPEG.
_BRIGHTNESS: Final = (np.float32(0.299), np.float32(0.587), np.float32(0.114))


@dataclass(frozen=True, slots=True)
class Augmentation:
    """One variation of a picture.

    Attributes:
        crop: Top, left, height and width as shares of the picture, 0..1.
        flip: Whether the picture is mirrored, left to right.
        gain: Factor on all values.
        contrast: Factor on the distance of values from grey.
        saturation: Factor on the distance of colours from their own brightness.
    """

    crop: tuple[float, float, float, float]
    flip: bool
    gain: float
    contrast: float
    saturation: float


IDENTITY: Final = Augmentation((0.0, 0.0, 1.0, 1.0), flip=False, gain=1, contrast=1, saturation=1)
"""The picture itself."""


def draw(seed: int, key: str, number: int) -> Augmentation:
    """Return a variation; the same arguments give the same variation on every machine.

    The crop has 0.35..1 of the picture's area and 3/4..4/3 of its aspect ratio; gain is 0.7..1.3,
    contrast 0.8..1.2, saturation 0.6..1.4.

    Args:
        seed: Seed of the training.
        key: Key of the picture.
        number: Number of the variation; 0 is the picture itself, the others are practically
            independent.
    """
    if number == 0:
        return IDENTITY
    facts = hashlib.sha256(f"{seed} {number} {key}".encode(errors="surrogatepass")).digest()
    # Only ``random`` and arithmetic that IEEE 754 defines to the last bit: NumPy may change how it
    # draws other distributions, and exp and log differ between C libraries.
    uniform = np.random.Generator(np.random.PCG64(int.from_bytes(facts))).random(9).tolist()
    area = _between((_LEAST_AREA, 1.0), uniform[0])
    # A crop of nearly the whole picture has nearly its shape.
    shape = _between((max(_NARROWEST, area), 1.0), uniform[1])
    if uniform[2] < 0.5:
        shape = 1 / shape
    height, width = min(1.0, math.sqrt(area / shape)), min(1.0, math.sqrt(area * shape))
    return Augmentation(
        crop=(uniform[3] * (1 - height), uniform[4] * (1 - width), height, width),
        flip=uniform[8] < 0.5,
        gain=_between(_GAIN, uniform[5]),
        contrast=_between(_CONTRAST, uniform[6]),
        saturation=_between(_SATURATION, uniform[7]),
    )


def apply(rgb: NDArray[np.uint8], augmentation: Augmentation) -> NDArray[np.uint8]:
    """Return a variation of a picture.

    Args:
        rgb: The picture, uint8 [H, W, 3].
        augmentation: The variation to apply.

    Returns:
        uint8 [h, w, 3], at least one pixel; it may share memory with ``rgb``.
    """
    top, left, height, width = augmentation.crop
    part = rgb[_span(top, height, rgb.shape[0]), _span(left, width, rgb.shape[1])]
    if augmentation.flip:
        part = part[:, ::-1]
    colours = (augmentation.gain, augmentation.contrast, augmentation.saturation)
    return part if colours == (1, 1, 1) else _coloured(part, *colours)


def pixels(rgb: NDArray[np.uint8], preprocess: Preprocessor) -> NDArray[np.int8]:
    """Return a picture as input of a model, by the same code path as a frame of a camera.

    Args:
        rgb: The picture, uint8 [H, W, 3].
        preprocess: Preprocessor for the ``ImageSpec`` of the model.

    Returns:
        int8 [3, H, W], ``u8 ^ 0x80``.
    """
    packed = np.ascontiguousarray(rgb)
    return preprocess(av.VideoFrame.from_ndarray(packed, format="rgb24"))


def _between(bounds: tuple[float, float], uniform: float) -> float:
    low, high = bounds
    return low + (high - low) * uniform


def _span(start: float, length: float, extent: int) -> slice:
    """Range of pixels that a share of ``extent`` covers, at least one pixel."""
    first = min(round(start * extent), extent - 1)
    return slice(first, max(first + 1, round((start + length) * extent)))


def _coloured(
    rgb: NDArray[np.uint8], gain: float, contrast: float, saturation: float
) -> NDArray[np.uint8]:
    """Apply gain, contrast and saturation in this order, in float32, and clip once at the end."""
    values = rgb.astype(np.float32)
    red, green, blue = _BRIGHTNESS
    bright = red * values[..., 0] + green * values[..., 1] + blue * values[..., 2]
    values *= np.float32(gain * contrast * saturation)
    bright *= np.float32(gain * contrast * (1 - saturation))
    bright += _GREY * np.float32(1 - contrast)
    values += bright[..., np.newaxis]
    return np.rint(values, out=values).clip(0, 255).astype(np.uint8)
