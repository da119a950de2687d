"""Notices by decoded pictures whether something in them changed. Pure.

A picture is reduced to cells, in which sensor noise averages out, and compared with the one before.
Each cell has a measure of its own: leaves, rain and a clock in the picture change their cells all
the time, and a person crosses a cell once in a while.
"""

from typing import Final

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

# Cells on each side of a picture.
CELLS: Final = 28
# Whole levels on each side of a cell, of which its brightness is the mean.
_FINER: Final = 4
# Least difference of a cell's brightness that counts, of 255 levels: noise of 3.5 levels and the
# pulse of a keyframe make up to 2.5. A person of 27 pixels in a picture of 360 makes 9, at night
# 3.5.
_LEAST: Final = 2.5
# A change is larger than what is usual in its cell by this factor.
_FACTOR: Final = 6.0
# Difference of all cells together that counts: a lamp goes on, a hand covers the lens.
_LIGHT: Final = 8.0
# Number of pictures over which is averaged what is usual.
_PICTURES: Final = 40

Cells = NDArray[np.float32]


class Reducer:
    """Reduces pictures of one stream to cells."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def __call__(self, picture: av.VideoFrame) -> Cells:
        """Return the mean brightness of each cell, 0..255."""
        side = CELLS * _FINER
        small = self._reformatter.reformat(
            picture, side, side, format="gray", interpolation="AREA", threads=1
        ).to_ndarray()
        cells: Cells = small.reshape(CELLS, _FINER, CELLS, _FINER).mean((1, 3), dtype=np.float32)
        return cells


class Changes:
    """Compares each picture of a stream with the one before."""

    def __init__(self) -> None:
        self._before: Cells | None = None
        self._usual = np.zeros((CELLS, CELLS), np.float32)
        self._pictures = 0

    def look(self, cells: Cells) -> bool:
        """Look at the next picture; return whether something changed.

        Of the first picture nothing is known; it counts as changed.
        """
        before, self._before = self._before, cells
        if before is None:
            return True
        change = cells - before
        middle = np.partition(change, CELLS**2 // 2, axis=None)[CELLS**2 // 2]
        change = np.abs(change - middle)  # the light may change everywhere a little
        limit = np.maximum(_LEAST, _FACTOR * self._usual)
        self._pictures += 1
        # Limited: one event must not blind a cell for the next.
        known = np.minimum(change, 2 * limit) - self._usual
        self._usual += known / min(self._pictures + 1, _PICTURES)
        return bool(abs(middle) > _LIGHT or (change > limit).any())
