"""Notices that a camera sends the same picture for ever. Pure: each call gives the time.

A camera whose sensor or firmware hangs goes on streaming its last picture. An encoder makes a few
pictures of it, which come back keyframe after keyframe. A scene in which nothing moves has noise,
and each of its keyframes is a picture that was never there before. A recording that is played over
and over brings keyframes back too, but between them it has pictures of its own.

What is compared is brightness as decoded, at single pixels: scaling a picture for a model takes the
noise out of it. A picture that shows nothing is not judged: a covered lens, the night without a
lamp. What an encoder makes of it may repeat though the camera lives, and ``edge.alerts.scene`` says
that the camera sees nothing.

Measured with x264 and x265 (constant quality; a constant rate with a lowest quantiser, as cameras
have it; B-frames, filler data; keyframes every 2, 4 and 10 s; samples at full rate, and one in ten
seconds): of 96 streams that froze, 94 were noticed 18 to 29 s later, and two that are refined in
steps between keyframes were not, at full rate; of 168 still scenes with 0.2 to 1 levels of noise
none. Of 460 keyframes of such scenes, dark ones and denoised ones among them, none was the same as
one of the three before it (they differed by 0.2 levels in the mean, by 0.006 where a keyframe takes
80 bytes); of 504 that show nothing, 183 were.

What goes unnoticed: an encoder whose quantiser never comes to rest, because it starves or because
it spends a constant rate on ever finer pictures; intra refresh at a low rate; a clock that the
camera writes on the picture and that goes on. An alarm about a quiet yard would be worse.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from edge.video.spans import FROZEN_S

# Mean and largest difference of two pictures, in levels, up to which they are the same.
_MEAN, _LARGEST = 0.002, 4
# The same for two pictures that an encoder may make of one. What goes beyond has moved.
_ALIKE_MEAN, _ALIKE_LARGEST = 8.0, 100
# Number of pixels that are compared, about as many as a model sees.
_PIXELS = 50_000
# Number of pictures that an encoder makes of a frozen one.
_PICTURES: Final = 3
# Number of times that such a picture must be seen, of times that it is no keyframe, and of
# keyframes after the first.
_LOOKS, _OTHERS, _KEYFRAMES = 10, 5, 2

# Mean luma of a picture that shows nothing but its sensor: 0.04 of its range, as ``scene.view`` has
# it, in levels.
_DARK: Final = 25.0
# A step of this many levels between neighbouring means of 4 x 4 pixels is an edge. Of 5 x 6 parts
# of a picture, so many must have edges in this share of their places: a text that the camera writes
# on it has fewer.
_EDGE, _POINTS, _DOWN, _ACROSS, _FEWEST, _SHARE = 3.0, 4, 5, 6, 6, 0.01


def brightness_of(picture: av.VideoFrame) -> NDArray[np.uint8]:
    """Return the brightness of single pixels that are spread over a picture, 0..255."""
    form = picture.format
    if not form.is_planar or form.components[0].bits != 8:
        picture = picture.reformat(format="gray")
    plane = picture.planes[0]
    rows: NDArray[np.uint8] = np.frombuffer(memoryview(plane), np.uint8)
    step = max(1, round(math.sqrt(plane.height * plane.width / _PIXELS)))
    return rows.reshape(plane.height, plane.line_size)[::step, : plane.width : step].copy()


def shows_something(brightness: NDArray[np.uint8]) -> bool:
    """Whether there is light and a thing to see in a picture, given by its ``brightness_of``."""
    if brightness.mean() < _DARK:
        return False
    rows, columns = (length // _POINTS for length in brightness.shape)
    whole = brightness[: rows * _POINTS, : columns * _POINTS].astype(np.float32)
    means = whole.reshape(rows, _POINTS, columns, _POINTS).mean(axis=(1, 3))
    edges = np.zeros(means.shape, bool)
    edges[:, 1:] |= np.abs(np.diff(means, axis=1)) > _EDGE
    edges[1:] |= np.abs(np.diff(means, axis=0)) > _EDGE
    parts = [
        part for band in np.array_split(edges, _DOWN) for part in np.array_split(band, _ACROSS, 1)
    ]
    return sum(bool(part.size and part.mean() >= _SHARE) for part in parts) >= _FEWEST


@dataclass(frozen=True, slots=True)
class _Seen:
    """How far the stream was when a picture was seen first.

    Attributes:
        now: Monotonic seconds.
        looks: Looks at pictures so far.
        others: Looks so far at what is no keyframe.
        keyframes: Keyframes so far.
    """

    now: float
    looks: int
    others: int
    keyframes: int


@dataclass(slots=True)
class _Known:
    """A picture that was seen.

    Attributes:
        brightness: Its brightness.
        first: When it was seen first.
        renewed: Whether it was seen again after a later keyframe, which owes nothing to the earlier
            ones.
    """

    brightness: NDArray[np.int16]
    first: _Seen
    renewed: bool = False


class Stillness:
    """Watches the pictures of one stream, as far as anybody decodes them.

    Args:
        longest_s: Seconds of the same picture after which the camera counts as frozen.

    Attributes:
        frozen: Whether the camera is frozen.
    """

    def __init__(self, longest_s: float = FROZEN_S) -> None:
        self.frozen = False
        self._longest_s = longest_s
        self._looks = self._others = 0
        self._last: list[_Known] = []  # the one that was not seen for the longest time first

    def same(self) -> None:
        """Take note of a picture that need not be decoded, as it is the one before it."""
        self._looks += 1
        self._others += 1

    def new(self) -> None:
        """Take note of a picture that was not decoded, and is none of the last ones."""
        self._last = self._last[1:]
        self.frozen = self.frozen and bool(self._last)

    def see(
        self, brightness: NDArray[np.uint8], now: float, keyframes: int, *, other: bool = True
    ) -> None:
        """Look at a picture.

        Args:
            brightness: Its ``brightness_of``.
            now: Its arrival, monotonic seconds.
            keyframes: Number of keyframes of the stream so far.
            other: Whether it is no keyframe, or one of a stream that has nothing else.
        """
        self._looks += 1
        self._others += other
        if shows_something(brightness):
            seen = _Seen(now, self._looks, self._others, keyframes)
            known = self._known(brightness.astype(np.int16), seen)  # which may forget the others
            self._last = [*self._last, known][-_PICTURES:]
            self.frozen = self._is_frozen(seen)
        else:
            self._last, self.frozen = [], False

    def _is_frozen(self, seen: _Seen) -> bool:
        """Whether the last pictures, all alike, are there for long, and one came back late."""
        first = min((known.first for known in self._last), key=lambda each: each.now)
        half_s = self._longest_s / 2
        return (
            seen.now - first.now >= self._longest_s
            and seen.looks - first.looks >= _LOOKS
            and seen.others - first.others >= _OTHERS
            and seen.keyframes - first.keyframes >= _KEYFRAMES
            and any(each.renewed and seen.now - each.first.now >= half_s for each in self._last)
        )

    def _known(self, picture: NDArray[np.int16], seen: _Seen) -> _Known:
        """Take the same picture out of the last ones; where none is the same, ``picture``.

        What is compared with is the first of its kind, so that a slow change is not followed.
        """
        for number, known in enumerate(self._last):
            if known.brightness.shape != picture.shape:
                continue
            difference = np.abs(picture - known.brightness)
            mean, largest = difference.mean(), difference.max()
            if largest <= _LARGEST and mean <= _MEAN:
                del self._last[number]
                known.renewed |= seen.keyframes != known.first.keyframes
                if seen.now < known.first.now:
                    known.first = replace(known.first, now=seen.now, keyframes=seen.keyframes)
                return known
            if largest > _ALIKE_LARGEST or mean > _ALIKE_MEAN:
                self._last = []
                break
        return _Known(picture, seen)
