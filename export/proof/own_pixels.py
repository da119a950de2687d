"""Compares a bundle's pictures with those of the checkpoint's own processor.

Letters in shapes: H, W picture.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.model.bundle.manifest import ImageSpec
from edge.video.preprocess import pixels_of_rgb

# In levels of 0..255. Of a picture that is not resized, both have the same pixels: 0.00002 was
# measured. Of a resized one, the filters of Pillow and swscale round differently: 0.26 was measured
# of smooth pictures. A wrong crop, mean or order of colours costs 18 and more.
_MOST_AS_IT_IS: Final = 0.5
_MOST_RESIZED: Final = 2.0
# Height and width of the other pictures, in sides of the model's.
_SHAPES: Final = ((2, 4), (4, 2))


@dataclass(frozen=True, slots=True)
class PictureCheck:
    """Comparison of a bundle's pictures with those of the checkpoint's own processor.

    Attributes:
        processor: Name of that processor.
        as_it_is: Largest difference of a pixel of a picture that has the model's size, in levels of
            0..255.
        resized: Mean difference of the pixels of wide and tall pictures, in levels.
    """

    processor: str
    as_it_is: float
    resized: float


def check_pictures(
    spec: ImageSpec, name: str, own: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
) -> PictureCheck:
    """Compare pictures of the model's size, wide ones and tall ones.

    Args:
        spec: Pictures of the bundle.
        name: Name of the checkpoint's own processor.
        own: Makes the float picture [3, H, W] of RGB, uint8 [H, W, 3].

    Raises:
        ModelError: The pictures differ: the bundle would not see what the model was trained on.
    """
    noise = np.random.default_rng(0).integers(0, 256, (spec.height, spec.width, 3), np.uint8)
    as_it_is = float(_difference(spec, name, own, noise).max())
    resized = max(
        float(_difference(spec, name, own, _scene(rows * spec.height, columns * spec.width)).mean())
        for rows, columns in _SHAPES
    )
    for what, found, limit in (
        ("largest difference of a picture of the model's size", as_it_is, _MOST_AS_IT_IS),
        ("mean difference of wide and tall pictures", resized, _MOST_RESIZED),
    ):
        if not found <= limit:  # NaN too
            raise ModelError(
                f"expected the pictures of the checkpoint's own {name}, found others: {what} "
                f"{found:.3g} levels of 255, at most {limit:g}; the preprocessor file asks for "
                "something that a bundle cannot express"
            )
    return PictureCheck(name, as_it_is, resized)


def _difference(
    spec: ImageSpec,
    name: str,
    own: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    rgb: NDArray[np.uint8],
) -> NDArray[np.float64]:
    """Return the difference of each pixel in levels, [3, H, W]."""
    theirs = own(rgb)
    if theirs.shape != (3, spec.height, spec.width):
        raise ModelError(
            f"expected the checkpoint's own {name} to make pictures of 3x{spec.height}x"
            f"{spec.width}, which the model takes, found {'x'.join(map(str, theirs.shape))} of a "
            f"picture of {rgb.shape[1]}x{rgb.shape[0]}; the files belong to different models"
        )
    mean, std = (np.reshape(value, (3, 1, 1)) for value in (spec.mean, spec.std))
    ours = pixels_of_rgb(rgb, spec).astype(np.float64) + 128
    difference: NDArray[np.float64] = np.abs(ours - (theirs * std + mean))
    return difference


def _scene(height: int, width: int) -> NDArray[np.uint8]:
    """Return a smooth picture in which no two places and no two colours are alike."""
    down, across = np.mgrid[0:height, 0:width] / max(height, width)
    waves = (
        0.5 + 0.5 * np.cos(4 * across + 1),
        0.5 + 0.5 * np.cos(5 * down + 2),
        0.5 + 0.5 * np.cos(3 * (across + down)),
    )
    return (255 * np.stack(waves, axis=-1)).round().astype(np.uint8)
