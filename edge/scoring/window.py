"""Keeps the last T samples of one camera, for models that look at a clip of frames. Pure.

A window costs T times the pixels of a sample for each camera (8 frames of 3 x 224 x 224: 1.2 MB).
A sample's pixels are the camera's, and valid for a moment only, so the window copies them.
"""

from collections import deque
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.video.sample import Arrival, Sample

# The longest time between two samples of a window may be this many times the shortest. The sampler
# keeps frames at least half a period apart, and a sample that was dropped because the engine was
# busy leaves a gap of two periods: together a factor of 4.
MAX_UNEVENNESS = 4.0
# A heartbeat says nothing about what comes later: three more would have come by then.
_LONGEST_STILL_S: Final = 30.0


class Window:
    """Keeps the newest samples of a camera, at most T, that are spaced evenly enough.

    A clip with a gap in it shows a jump that never happened, so the samples before a gap are
    forgotten: after a reconnect the window fills up again, however short it was.

    Frames of a still scene are seconds apart, and are no clip. A heartbeat says that the picture
    was the same all the time, and stays so until the next sample: it is repeated, as often as it
    would have been seen.

    Args:
        frames: T. With two samples every spacing is even; three is the least that shows a gap.
    """

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self._samples: deque[Sample] = deque(maxlen=frames)
        self._spacing_s: float | None = None  # of the last two samples while something moved

    @property
    def arrivals(self) -> tuple[Arrival, ...]:
        """Arrivals of the samples in the window, oldest first."""
        return tuple(sample.arrival for sample in self._samples)

    @property
    def is_full(self) -> bool:
        """Whether the window has T samples."""
        return len(self._samples) == self._frames

    def push(self, sample: Sample) -> None:
        """Add the camera's next sample, and forget those that lie before a gap."""
        sample = replace(sample, pixels=sample.pixels.copy(), clip_pixels=None)
        if sample.after_break:  # nobody knows what was there before, nor whether it is as still
            self._samples.clear()
        before = self._samples[-1] if self._samples else None
        if sample.heartbeat and not sample.after_break:
            self._repeat(sample, sample.arrival)
        elif before is not None:
            passed_s = sample.arrival.monotonic - before.arrival.monotonic
            follows = sample.sequence == before.sequence + 1
            if not before.heartbeat:
                self._spacing_s = passed_s if follows else self._spacing_s
            elif follows and passed_s <= _LONGEST_STILL_S:
                self._repeat(before, sample.arrival)
            else:
                self._samples.clear()
        self._samples.append(sample)
        for _ in range(len(self._samples) - _together(self.arrivals)):
            self._samples.popleft()

    def _repeat(self, still: Sample, until: Arrival) -> None:
        """Fill all places but the last with a picture that was there before ``until``."""
        self._samples.clear()
        if self._spacing_s is None:
            return
        for number in range(self._frames - 1, 0, -1):
            at = replace(until, monotonic=until.monotonic - number * self._spacing_s)
            self._samples.append(replace(still, arrival=at))

    def copy_to(self, clip: NDArray[np.int8]) -> None:
        """Write the pixels of a full window into ``clip``, int8 [T, 3, H, W], oldest frame first.

        Raises:
            ValueError: The window is not full, or the samples have another shape than ``clip``.
        """
        shapes = {sample.pixels.shape for sample in self._samples}
        if not self.is_full or shapes != {clip.shape[1:]} or len(clip) != self._frames:
            raise ValueError(
                f"expected {self._frames} samples for a clip {list(clip.shape)}, found "
                f"{len(self._samples)} of {sorted(shapes)}"
            )
        np.stack([sample.pixels for sample in self._samples], out=clip)


def _together(arrivals: tuple[Arrival, ...]) -> int:
    """Number of the newest arrivals that are spaced evenly enough; at least one."""
    shortest, longest = float("inf"), 0.0
    count = 1
    for older, newer in zip(reversed(arrivals[:-1]), reversed(arrivals[1:]), strict=True):
        spacing = newer.monotonic - older.monotonic
        shortest, longest = min(shortest, spacing), max(longest, spacing)
        if spacing <= 0 or longest > MAX_UNEVENNESS * shortest:
            break
        count += 1
    return count
