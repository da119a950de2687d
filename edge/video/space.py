"""Defines the pixels of a sample before there is one: where they are written to."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.model.bundle.manifest import ImageSpec


@dataclass(frozen=True, slots=True)
class Space:
    """Room for the pixels of one sample.

    Attributes:
        pixels: int8 [3, H, W].
        clip_pixels: int8 [3, H', W'], for a clip model; None without one.
    """

    pixels: NDArray[np.int8]
    clip_pixels: NDArray[np.int8] | None


def shape_of(spec: ImageSpec) -> tuple[int, int, int]:
    """Shape of the pixels of one frame."""
    return 3, spec.height, spec.width


def new_space(image: ImageSpec, clip: ImageSpec | None) -> Space:
    """Make room in memory of this process alone."""
    clip_pixels = None if clip is None else np.empty(shape_of(clip), np.int8)
    return Space(np.empty(shape_of(image), np.int8), clip_pixels)
