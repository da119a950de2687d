"""Says where a picture lies on the engine's input. Pure: no code of FFmpeg is needed for it."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.model.bundle.manifest import ImageSpec

SIGN: Final = np.uint8(0x80)
GREY: Final = np.uint8(127) ^ SIGN
"""Value of a letterbox's borders, already signed: grey 127 is zero for (u8 - 127) / 128."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Position of a picture on the engine's input, in pixels of that input.

    Attributes:
        top: Upper edge of the whole picture; negative where its upper part is cut off.
        left: Left edge of the whole picture; negative where its left part is cut off.
        height: Height of the whole picture after scaling.
        width: Width of the whole picture after scaling.
    """

    top: int
    left: int
    height: int
    width: int


def placement(spec: ImageSpec, height: int, width: int) -> Placement:
    """Position of a picture of ``height`` x ``width``, by which boxes are mapped back."""
    scaled_height, scaled_width = _scaled_size(spec, height, width)
    return Placement(
        top=_centred(scaled_height, spec.height),
        left=_centred(scaled_width, spec.width),
        height=scaled_height,
        width=scaled_width,
    )


def _scaled_size(spec: ImageSpec, height: int, width: int) -> tuple[int, int]:
    """Return rows and columns of the scaled picture, before the crop or the borders."""
    if spec.resize == "stretch":
        return spec.height, spec.width
    # Integer arithmetic: one side fits exactly, the other one is cropped or gets borders.
    wide = height * spec.width <= width * spec.height
    if wide == (spec.resize == "shortest_edge"):
        return spec.height, max(1, width * spec.height // height)
    return max(1, height * spec.width // width), spec.width


def _centred(scaled: int, wanted: int) -> int:
    """Begin of the picture along one axis; an odd pixel goes to the end, as in transformers."""
    return (wanted - scaled) // 2 if scaled <= wanted else -((scaled - wanted) // 2)


def without_borders(pixels: NDArray[np.int8]) -> NDArray[np.int8]:
    """View of int8 pixels [3, H, W] without the borders of a letterbox.

    The borders are found by their grey, because a sample need not contain the size of its frame.
    Pixels that are all this grey count as picture.
    """
    # Borders are at both ends of one axis, so the first or the last corner has their grey.
    grey = GREY.view(np.int8)
    if (pixels[:, 0, 0] != grey).any() and (pixels[:, -1, -1] != grey).any():
        return pixels
    # Every eighth pixel is enough: no row of a picture is that uniform.
    rows = np.flatnonzero((pixels[:, :, ::8] != grey).any(axis=(0, 2)))
    columns = np.flatnonzero((pixels[:, ::8] != grey).any(axis=(0, 1)))
    if not len(rows) or not len(columns):
        return pixels
    return pixels[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
