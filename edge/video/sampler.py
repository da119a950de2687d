"""Which packets are decoded and which frames are kept. Pure: time comes in with each call.

A compressed frame needs its predecessors back to the last keyframe, so a frame every half second
out of a stream with a keyframe every two seconds costs a full decode (9 % of a core for 1080p25),
while keyframes alone cost 2 % (measured). So the spacing of keyframes decides: where they come at
least as often as samples are wanted, nothing else is decoded.
"""

from collections import deque
from enum import Enum, auto

# A frame that is due in less than this is due: rounding must not choose between neighbours.
_SLACK_S = 0.001
# Keyframe intervals that are averaged before they are believed.
_INTERVALS = 4
# Keyframes 2 % rarer than wanted still do: a camera's clock and ours differ, and so do arrivals.
_TOLERANCE = 1.02
# Keyframes fail to come: wait this many sampling periods before decoding everything again.
_PATIENCE = 1.5
# So many keyframes that gave no frame: this stream needs a complete decode (gradual intra refresh
# marks keyframes that are none; a lossy line damages them).
_STRIKES = 3


class Use(Enum):
    """What to do with a packet."""

    SKIP = auto()
    ALONE = auto()
    """A keyframe whose neighbours are skipped."""
    CHAIN = auto()
    """The next packet of a stream decoded completely."""


class Sampler:
    """Keeps ``fps`` frames per second.

    Frames are kept on a grid of due times that does not depend on when the frames really came, so
    the mean rate is exact whatever the camera's own rate. Each kept frame moves the grid on by
    one period; a gap in the stream moves it on to half a period after the frame that ended the
    gap. So two kept frames are never closer than half a period, and no burst makes up for a gap.

    Args:
        fps: Frames per second wanted; a slower camera gives what it has.
        phase: How much of a period the grid begins after the first arrival, 0..1. Cameras that
            are connected at once would otherwise be sampled at once, and queue for the engine.
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
        """Decide about a packet that came in at ``arrival`` (monotonic seconds)."""
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
        """Decide about a frame that could be had at ``arrival`` (monotonic seconds)."""
        due = self._next_due(arrival)
        if arrival < due - _SLACK_S:
            return False
        self._due = max(due + self._period, arrival + self._period / 2)
        return True

    def keyframe_failed(self) -> None:
        """Note that a keyframe decoded alone gave no frame."""
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
        """Leave the keyframes-only way, from the next keyframe on, and measure anew."""
        self.keyframes_only = False
        self._intervals.clear()
