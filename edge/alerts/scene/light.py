"""Whether it is day or night for a camera, by its pixels: dark is night, and so is grey.

A camera's night picture may be brighter than its day: with infrared lamps it sees well and has no
colour at all. So both count, and the weaker one decides::

    daylight = min(brightness / _DARK, colour / _GREY)        1 is in between

Measured on six clips by day, and on the same with chroma noise of one level instead of colour:
colour is 0.009 and more by day (an asphalt road is the least), 0.0042 and less in grey as bright.
A camera that has no colour by day either has night for ever.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from edge.video.preprocess import without_borders

Word = Literal["day", "night"]

# Halfway, by ratio, between the two measured above.
_GREY: Final = 0.0062
# Our judgement: no clip by night was at hand. Rooms and streets by day had 0.23 and more.
_DARK: Final = 0.18
# The word changes beyond this factor of the limits only: a night's noise, clouds.
_HYSTERESIS: Final = 1.25
# Headlights, lightning, a lamp with a motion sensor: what does not last is no day.
_LASTS_S: Final = 60.0

# R, G, B in 0..255 to luma 0..1, Cb and Cr -0.5..0.5: ITU-R BT.601.
_YCC: Final = (
    np.array([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]], np.float32)
    / 255
)
# A picture is looked at through so many of its pixels, and each so many beside one another are
# taken together: noise differs from pixel to pixel, colour does not.
_ROWS, _COLUMNS, _TOGETHER = 36, 128, 8
# No picture is darker: it would have colour from rounding alone.
_BLACK: Final = 1 / 255


@dataclass(frozen=True, slots=True)
class Reading:
    """What a sample says about light.

    Attributes:
        brightness: Mean luma, 0..1.
        colour: How much chroma differs over the picture (standard deviation of Cb and of Cr as
            one length), in units of the brightness, so that exposure cancels: 0..1, by day mostly
            0.01..0.15. An even tint is no colour.
        word: Of the camera, not of this sample alone: it changes once another has lasted.
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

        The first one decides at once.
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
    """Brightness and colour, as in ``Reading``."""
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
