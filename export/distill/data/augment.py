"""The same variation of a picture for teacher and student, whatever size each of them takes.

A variation is drawn from a seed, the picture's key and its own number, from nothing else:
the teacher's answers can be kept on disk, and a student that trains elsewhere, in other batches or
in several processes sees exactly the picture that they are about. It is applied to the picture
before any model's preprocessing, which is the device's own.
"""

import hashlib
import math
from dataclasses import dataclass
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from edge.video.preprocess import Preprocessor

# Of the picture's area: smaller crops show parts that no caption is about.
_LEAST_AREA: Final = 0.35
# Narrowest shape of a crop against the picture's own; the widest is its inverse.
_NARROWEST: Final = 3 / 4
_GAIN: Final = (0.7, 1.3)
_CONTRAST: Final = (0.8, 1.2)
_SATURATION: Final = (0.6, 1.4)
# Grey that a change of contrast leaves as it is: the zero of the models' input.
_GREY: Final = np.float32(127)
# Brightness by ITU-R BT.601, as JPEG has it.
_BRIGHTNESS: Final = (np.float32(0.299), np.float32(0.587), np.float32(0.114))


@dataclass(frozen=True, slots=True)
class Augmentation:
    """One variation of a picture.

    Attributes:
        crop: Top, left, height and width as shares of the picture, 0..1.
        flip: Mirrored, left to right.
        gain: Factor on all values.
        contrast: Factor on their distance from grey.
        saturation: Factor on the colours' distance from their own brightness.
    """

    crop: tuple[float, float, float, float]
    flip: bool
    gain: float
    contrast: float
    saturation: float


IDENTITY: Final = Augmentation((0.0, 0.0, 1.0, 1.0), flip=False, gain=1, contrast=1, saturation=1)
"""The picture itself."""


def draw(seed: int, key: str, number: int) -> Augmentation:
    """Return a variation; the same arguments give the same one on every machine.

    The crop has 0.35..1 of the picture's area in 3/4..4/3 of its shape; gain is 0.7..1.3, contrast
    0.8..1.2, saturation 0.6..1.4.

    Args:
        seed: Of the training.
        key: Of the picture.
        number: 0 is the picture itself, the others are as good as independent.
    """
    if number == 0:
        return IDENTITY
    facts = hashlib.sha256(f"{seed} {number} {key}".encode(errors="surrogatepass")).digest()
    # Nothing but ``random`` and arithmetic that IEEE 754 defines to the last bit: NumPy may change
    # how other distributions are drawn, and exp and log differ between C libraries.
    uniform = np.random.Generator(np.random.PCG64(int.from_bytes(facts))).random(9).tolist()
    area = _between((_LEAST_AREA, 1.0), uniform[0])
    # A crop of nearly everything can hardly have another shape.
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
    """Return the variation of a picture.

    Args:
        rgb: uint8 [H, W, 3].
        augmentation: What to do with it.

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
    """Return a picture as a model takes it, by the same path as a camera's frame.

    Args:
        rgb: uint8 [H, W, 3].
        preprocess: Of the model's own ``ImageSpec``.

    Returns:
        int8 [3, H, W], ``u8 ^ 0x80``.
    """
    packed = np.ascontiguousarray(rgb)
    return preprocess(av.VideoFrame.from_ndarray(packed, format="rgb24"))


def _between(bounds: tuple[float, float], uniform: float) -> float:
    low, high = bounds
    return low + (high - low) * uniform


def _span(start: float, length: float, extent: int) -> slice:
    """Pixels of a share of ``extent``, at least one."""
    first = min(round(start * extent), extent - 1)
    return slice(first, max(first + 1, round((start + length) * extent)))


def _coloured(
    rgb: NDArray[np.uint8], gain: float, contrast: float, saturation: float
) -> NDArray[np.uint8]:
    """Gain, then contrast, then saturation, in one step of floating point without clipping."""
    values = rgb.astype(np.float32)
    red, green, blue = _BRIGHTNESS
    bright = red * values[..., 0] + green * values[..., 1] + blue * values[..., 2]
    values *= np.float32(gain * contrast * saturation)
    bright *= np.float32(gain * contrast * (1 - saturation))
    bright += _GREY * np.float32(1 - contrast)
    values += bright[..., np.newaxis]
    return np.rint(values, out=values).clip(0, 255).astype(np.uint8)
