"""Notices that a camera sends the same picture for ever. Pure: each call gives the time.

A camera whose sensor or firmware hangs goes on streaming its last picture. Of such a picture an
encoder makes one or two that repeat exactly, keyframe after keyframe (measured with x264). A scene
in which nothing moves has noise, so that each keyframe differs: at 0.3 levels of noise and crf 35
there were 33 different pictures among 60, and at least 16 with any noise up to 4 levels. So only
exact repetition counts. Where an encoder that holds a bit rate varies its quality, a frozen picture
may go unnoticed: an alarm about a quiet yard would be worse.
"""

from dataclasses import dataclass
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

# Longer than it takes to notice a covered lens (65 s), which may be as dark as it is still.
FROZEN_S: Final = 75.0
# Number of pictures that an encoder makes of a frozen one, and of samples and keyframes to see.
_PICTURES, _SAMPLES, _KEYFRAMES = 3, 10, 5


@dataclass(frozen=True, slots=True)
class _Seen:
    """When a picture was seen last: monotonic seconds, samples and keyframes so far."""

    now: float
    samples: int
    keyframes: int


class Stillness:
    """Watches the samples of one stream.

    Args:
        longest_s: Seconds of the same picture after which the camera counts as frozen.

    Attributes:
        frozen: Whether the camera is frozen.
    """

    def __init__(self, longest_s: float = FROZEN_S) -> None:
        self.frozen = False
        self._longest_s = longest_s
        self._samples = 0
        self._begin: _Seen | None = None  # of the stretch with so few pictures
        self._last: dict[int, _Seen] = {}  # oldest first

    def see(self, pixels: NDArray[np.int8], now: float, keyframes: int) -> None:
        """Look at a sample.

        Args:
            pixels: Its pixels.
            now: Its arrival, monotonic seconds.
            keyframes: Number of keyframes of the stream so far.
        """
        self._samples += 1
        seen = _Seen(now, self._samples, keyframes)
        picture = crc32(pixels.tobytes())
        begin = seen if self._begin is None else self._begin
        self._last.pop(picture, None)
        self._last[picture] = seen
        if len(self._last) > _PICTURES:
            begin = self._last.pop(next(iter(self._last)))
        self._begin = begin
        self.frozen = (
            now - begin.now >= self._longest_s
            and self._samples - begin.samples >= _SAMPLES
            and keyframes - begin.keyframes >= _KEYFRAMES
        )
