"""Decides whether a camera has day or night, by its pixels: a dark or a grey picture is night.

With infrared lamps, a camera's night picture may be brighter than its day picture, but it has no
colour. Therefore both count, and the weaker one decides::

    daylight = min(brightness / _DARK, colour / _GREY)        1 is in between

Measured on six clips by day, and on the same clips with chroma noise of one level instead of
colour: colour is at least 0.009 by day (an asphalt road has the least), and at most 0.0042 in
equally bright grey pictures. A camera that has no colour by day either has night for ever.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from edge.video.placement import without_borders

Word = Literal["day", "night"]

# Halfway, by ratio, between the two values measured above.
_GREY: Final = 0.0062
# Our judgement, because no clip by night was at hand. Rooms and streets by day had at least 0.23.
_DARK: Final = 0.18
# The word changes only beyond this factor of the limits, because of clouds and noise at night.
_HYSTERESIS: Final = 1.25
# Light that does not last is no day: headlights, lightning, a lamp with a motion sensor.
_LASTS_S: Final = 60.0

# R, G, B in 0..255 to luma 0..1, Cb and Cr -0.5..0.5: ITU-R BT.601.
_YCC: Final = (
    np.array([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]], np.float32)
    / 255
)
# At most this many rows and columns of a picture are examined. Of each row, this many neighbouring
# pixels are averaged, because noise differs from pixel to pixel and colour does not.
_ROWS, _COLUMNS, _TOGETHER = 36, 128, 8
# Least brightness by which colour is divided: a darker picture has colour from rounding alone.
_BLACK: Final = 1 / 255


@dataclass(frozen=True, slots=True)
class Reading:
    """Light of a sample.

    Attributes:
        brightness: Mean luma, 0..1.
        colour: Variation of chroma over the picture (standard deviations of Cb and Cr as one
            length), in units of the brightness, so that exposure cancels: 0..1, by day mostly
            0.01..0.15. An even tint is no colour.
        word: Light of the camera, which changes only when another light has lasted.
    """

    brightness: float
    colour: float
    word: Word


class Light:
    """The light of one camera. Pure: time is injected."""

    def __init__(self) -> None:
        self._word: Word | None = None
        self._other_since: float | None = None

    def step(self, pixels: NDArray[np.int8], at: float) -> Reading:
        """Take one sample: int8 pixels [3, H, W], and its monotonic time in seconds.

        The first sample decides at once.
        """
        brightness, colour = _look(pixels)
        daylight = min(brightness / _DARK, colour / _GREY)
        if self._word is None:
            self._word = "day" if daylight >= 1 else "night"
        by_day = self._word == "day"
        if daylight >= 1 / _HYSTERESIS if by_day else daylight <= _HYSTERESIS:
            self._other_since = None
        elif self._other_since is None:
            self._other_since = at
        elif at - self._other_since >= _LASTS_S:
            self._word = "night" if by_day else "day"
            self._other_since = None
        return Reading(brightness, colour, self._word)


def _look(pixels: NDArray[np.int8]) -> tuple[float, float]:
    """Return brightness and colour, as in ``Reading``."""
    _, height, width = pixels.shape
    some = without_borders(pixels[:, :: -(-height // _ROWS), :: -(-width // _COLUMNS)])
    together = min(_TOGETHER, some.shape[2])
    some = some[:, :, : some.shape[2] // together * together]
    evenly = np.full(together, 1 / together, np.float32)
    rgb = (some.astype(np.float32).reshape(-1, together) @ evenly).reshape(3, -1)
    ycc = _YCC @ (rgb + 128)  # signed pixels are u8 - 128
    brightness = float(ycc[0].mean())
    spread = float(np.linalg.norm(ycc[1:].std(axis=1)))
    return brightness, spread / max(brightness, _BLACK)
