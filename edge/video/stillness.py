"""Notices that a camera sends the same picture for ever. Pure: each call gives the time.

A camera whose sensor or firmware hangs goes on streaming its last picture. An encoder makes a few
pictures of it, which come back keyframe after keyframe. A scene in which nothing moves has noise,
and each of its keyframes is a picture that was never there before.

What is compared is brightness as decoded, at single pixels: scaling a picture for a model takes the
noise out of it. Measured with x264 (crf 23 to 51, constant and average rates, B-frames, filler
data, keyframes every 2 s and 5 s): once the encoder has settled, its pictures of a frozen one
differ by at most 0.0015 levels in the mean and 2 levels at a pixel. Keyframes of a still scene with
0.2 levels of noise differ by 0.036 or more; where the scene is flat, and the encoder takes nearly
all noise out, by 0.006 or more.

Two kinds of encoder never settle, and what they send of a frozen picture goes unnoticed: one that
starves (300 kbit/s for keyframes of 40 kB), and intra refresh at a low rate (0.003 levels). An
alarm about a quiet yard would be worse.
"""

import math
from dataclasses import dataclass
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

# Longer than it takes to notice a covered lens (65 s), which may be as dark as it is still.
FROZEN_S: Final = 75.0
# Mean and largest difference of two pictures, in levels, up to which they are the same.
_MEAN, _LARGEST = 0.002, 4
# Number of pixels that are compared, about as many as a model sees.
_PIXELS = 50_000
# Number of pictures that an encoder makes of a frozen one, and of samples and keyframes to see.
_PICTURES, _SAMPLES, _KEYFRAMES = 3, 10, 5


def brightness_of(picture: av.VideoFrame) -> NDArray[np.uint8]:
    """Return the brightness of single pixels that are spread over a picture, 0..255."""
    form = picture.format
    if not form.is_planar or form.components[0].bits != 8:
        picture = picture.reformat(format="gray")
    plane = picture.planes[0]
    rows: NDArray[np.uint8] = np.frombuffer(memoryview(plane), np.uint8)
    step = max(1, round(math.sqrt(plane.height * plane.width / _PIXELS)))
    return rows.reshape(plane.height, plane.line_size)[::step, : plane.width : step].copy()


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
        self._last: list[tuple[NDArray[np.int16], _Seen]] = []  # oldest first

    def see(self, brightness: NDArray[np.uint8], now: float, keyframes: int) -> None:
        """Look at a sample.

        Args:
            brightness: Its ``brightness_of``.
            now: Its arrival, monotonic seconds.
            keyframes: Number of keyframes of the stream so far.
        """
        self._samples += 1
        seen = _Seen(now, self._samples, keyframes)
        begin = seen if self._begin is None else self._begin
        self._last.append((self._known(brightness.astype(np.int16)), seen))
        if len(self._last) > _PICTURES:
            _, begin = self._last.pop(0)
        self._begin = begin
        self.frozen = (
            now - begin.now >= self._longest_s
            and self._samples - begin.samples >= _SAMPLES
            and keyframes - begin.keyframes >= _KEYFRAMES
        )

    def _known(self, picture: NDArray[np.int16]) -> NDArray[np.int16]:
        """Take the same picture out of the last ones; return ``picture`` where none is the same.

        What is returned is the first of its kind, so that a slow change is not followed.
        """
        for number, (other, _) in enumerate(self._last):
            if other.shape != picture.shape:
                continue
            difference = np.abs(picture - other)
            if difference.max() <= _LARGEST and difference.mean() <= _MEAN:
                del self._last[number]
                return other
        return picture
