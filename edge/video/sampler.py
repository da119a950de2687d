"""Decides which packets are decoded and which frames are kept. Pure: each call gives the time.

A compressed frame needs its predecessors back to the last keyframe. So one frame every half second
from a stream with a keyframe every two seconds costs a full decode (9 % of a core for 1080p25),
while keyframes alone cost 2 % (measured). Where keyframes come at least as often as samples are
wanted, only keyframes are decoded.
"""

from collections import deque
from enum import Enum, auto

# A frame due in less than this counts as due: rounding must not choose between neighbours.
_SLACK_S = 0.001
# Number of keyframe intervals that are averaged before their mean is used.
_INTERVALS = 4
# Keyframes may be 2 % rarer than wanted: a camera's clock and ours differ, and so do arrivals.
_TOLERANCE = 1.02
# Sampling periods without a keyframe after which everything is decoded again.
_PATIENCE = 1.5
# Keyframes without a frame after which the whole stream is decoded (gradual intra refresh marks
# packets as keyframes that are none; a lossy line damages keyframes).
_STRIKES = 3


class Use(Enum):
    """Decision about a packet."""

    SKIP = auto()
    ALONE = auto()
    """A keyframe whose neighbours are skipped."""
    CHAIN = auto()
    """The next packet of a stream decoded completely."""


class Sampler:
    """Keeps ``fps`` frames per second.

    Frames are kept on a grid of due times that does not depend on the actual arrivals, so the mean
    rate is exact for any rate of the camera. Each kept frame moves the grid on by one period; after
    a gap in the stream, the next due time is half a period after the frame that ended the gap. So
    two kept frames are never closer than half a period, and no burst follows a gap.

    Args:
        fps: Frames per second wanted; of a slower camera every frame is kept.
        phase: Delay of the grid after the first arrival, in periods, 0..1. Without it, cameras that
            connect together would be sampled together, and queue for the engine.
    """

    def __init__(self, fps: float, phase: float = 0.0) -> None:
        self._period = 1 / fps
        self._phase = phase
        self._due: float | None = None
        self._intervals: deque[float] = deque(maxlen=_INTERVALS)
        self._last_keyframe: float | None = None
        self._in_chain = False
        self._strikes = 0
        self.keyframes_only = False

    def use(self, arrival: float, *, is_keyframe: bool) -> Use:
        """Decide how to use a packet that came in at ``arrival`` (monotonic seconds)."""
        if is_keyframe:
            self._measure(arrival)
        elif self.keyframes_only and self._keyframes_are_late(arrival):
            self._decode_everything()
        if not self.keyframes_only:
            self._in_chain = self._in_chain or is_keyframe
            return Use.CHAIN if self._in_chain else Use.SKIP
        self._in_chain = False
        return Use.ALONE if is_keyframe and self._is_due(arrival) else Use.SKIP

    def keep(self, arrival: float) -> bool:
        """Decide whether to keep a frame that is available at ``arrival`` (monotonic seconds)."""
        due = self._next_due(arrival)
        if arrival < due - _SLACK_S:
            return False
        self._due = max(due + self._period, arrival + self._period / 2)
        return True

    def keyframe_failed(self) -> None:
        """Record that a keyframe decoded alone gave no frame."""
        self._strikes += 1
        self._decode_everything()

    def _is_due(self, arrival: float) -> bool:
        return arrival >= self._next_due(arrival) - _SLACK_S

    def _next_due(self, arrival: float) -> float:
        if self._due is None:
            self._due = arrival + self._phase * self._period
        return self._due

    def _measure(self, arrival: float) -> None:
        if self._last_keyframe is not None:
            self._intervals.append(arrival - self._last_keyframe)
        self._last_keyframe = arrival
        spacing = sum(self._intervals) / len(self._intervals) if self._intervals else 0.0
        self.keyframes_only = (
            self._strikes < _STRIKES
            and len(self._intervals) == _INTERVALS
            and spacing <= self._period * _TOLERANCE
        )

    def _keyframes_are_late(self, arrival: float) -> bool:
        last = self._last_keyframe
        return last is not None and arrival - last > _PATIENCE * self._period

    def _decode_everything(self) -> None:
        """Leave keyframes-only mode from the next keyframe on, and measure again."""
        self.keyframes_only = False
        self._intervals.clear()
