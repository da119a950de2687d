"""Decides which packets are decoded and which frames are kept. Pure: each call gives the time.

A compressed frame needs its predecessors back to the last keyframe. So one frame every half second
from a stream with a keyframe every two seconds costs a full decode (9 % of a core for 1080p25),
while keyframes alone cost 2 % (measured). Where keyframes come at least as often as samples are
wanted, only keyframes are decoded. Elsewhere nothing is decoded after the last frame that is wanted
before the next keyframe.
"""

from collections import deque
from enum import Enum, auto
from typing import Final

# A frame due in less than this counts as due: rounding must not choose between neighbours.
_SLACK_S: Final = 0.001
# Number of keyframe intervals that are averaged before their mean is used.
_INTERVALS: Final = 4
# Keyframes may be 2 % rarer than wanted: a camera's clock and ours differ, and so do arrivals.
_TOLERANCE: Final = 1.02
# Sampling periods without a keyframe after which everything is decoded again.
_PATIENCE: Final = 1.5
# Keyframes without a frame after which the whole stream is decoded (gradual intra refresh marks
# packets as keyframes that are none; a lossy line damages keyframes).
_STRIKES: Final = 3
# Intervals of keyframes differ by less than this share of their mean where they are foreseen.
_REGULAR: Final = 0.15
# A heartbeat may come so much earlier, in its periods, where that spares decoding.
_EARLY: Final = 0.1
# Seconds between looks at a picture behind a closed gate where packets alone say too little.
_LOOK_S: Final = 2.0
# Seconds for which a due look behind a closed gate waits for a keyframe.
_WAIT_S: Final = 5.0


class Use(Enum):
    """Decision about a packet."""

    HOLD = auto()
    """Kept compressed."""
    ALONE = auto()
    """A keyframe whose neighbours are not decoded."""
    CHAIN = auto()
    """Decoded with all packets since the last keyframe."""


class Sampler:
    """Keeps ``fps`` frames per second, or ``idle`` while the gate is closed.

    Frames are kept on a grid of due times that does not depend on the actual arrivals, so the mean
    rate is exact for any rate of the camera. Each kept frame moves the grid on by one period; after
    a gap in the stream, the next due time is half a period after the frame that ended the gap. So
    two kept frames are never closer than half a period, and no burst follows a gap.

    Args:
        fps: Frames per second wanted; of a slower camera every frame is kept.
        phase: Delay of the grid after the first arrival, in periods, 0..1. Without it, cameras that
            connect together would be sampled together, and queue for the engine.
        idle: Frames per second wanted while the gate is closed.
        aligned: Whether the grid moves onto the keyframes where they are a whole number of periods
            apart: then the fewest frames are decoded.

    Attributes:
        keyframes_only: Whether keyframes come often enough.
        skipping: Whether the last packet was kept compressed, or only keyframes are decoded.
    """

    def __init__(
        self, fps: float, phase: float = 0.0, *, idle: float | None = None, aligned: bool = False
    ) -> None:
        self._period = 1 / fps
        self._idle_period = self._period if idle is None else max(self._period, 1 / idle)
        self._phase = phase
        self._aligned = aligned
        self._due: float | None = None
        self._intervals: deque[float] = deque(maxlen=_INTERVALS)
        self._last_keyframe: float | None = None
        self._strikes = 0
        self._decoded = self._kept = float("-inf")  # the last picture, and the last that was kept
        self.keyframes_only = False
        self.skipping = False

    def use(
        self, arrival: float, *, is_keyframe: bool, is_open: bool = True, looks: bool = False
    ) -> Use:
        """Decide how to use a packet.

        Args:
            arrival: Its arrival, monotonic seconds.
            is_keyframe: Whether it is a keyframe.
            is_open: Whether the gate is open.
            looks: Whether a closed gate needs a look at a picture every two seconds.
        """
        if is_keyframe:
            self._measure(arrival)
            self._align(arrival)
        elif self.keyframes_only and self._keyframes_are_late(arrival):
            self._decode_everything()
        chosen = (
            self._use_open(arrival, is_keyframe=is_keyframe)
            if is_open or self._strikes >= _STRIKES
            else self._use_closed(arrival, is_keyframe=is_keyframe, looks=looks)
        )
        self.skipping = chosen is not Use.CHAIN
        return chosen

    def keep(self, arrival: float, *, is_open: bool = True) -> bool:
        """Decide whether to keep a frame that is available at ``arrival`` (monotonic seconds)."""
        self._decoded = arrival
        if not is_open:
            if arrival < self._kept + (1 - _EARLY) * self._idle_period:
                return False
            self._kept, self._due = arrival, arrival + self._period / 2
            return True
        due = self._next_due(arrival)
        if arrival < due - _SLACK_S:
            return False
        self._kept = arrival
        self._due = max(due + self._period, arrival + self._period / 2)
        return True

    def keyframe_failed(self) -> None:
        """Record that a keyframe, or the packets from one on, gave no frame."""
        self._strikes += 1
        self._decode_everything()

    def _use_open(self, arrival: float, *, is_keyframe: bool) -> Use:
        if self.keyframes_only:
            return Use.ALONE if is_keyframe and self._is_due(arrival) else Use.HOLD
        keyframe = self._next_keyframe
        if keyframe is None or self._is_due(arrival):
            return Use.CHAIN
        return Use.HOLD if self._next_due(arrival) >= keyframe - _SLACK_S else Use.CHAIN

    def _use_closed(self, arrival: float, *, is_keyframe: bool, looks: bool) -> Use:
        # A keyframe is taken a little early rather than the next one late.
        part = 1 - _EARLY if is_keyframe else 1.0
        due = self._kept + part * self._idle_period
        if looks:
            due = min(due, self._decoded + part * _LOOK_S)
        if is_keyframe:
            return Use.ALONE if arrival >= due else Use.HOLD
        if arrival < due:
            return Use.HOLD
        keyframe = self._next_keyframe
        near = keyframe is not None and arrival < keyframe + 1 and keyframe < due + _WAIT_S
        return Use.HOLD if near else Use.CHAIN

    def _is_due(self, arrival: float) -> bool:
        return arrival >= self._next_due(arrival) - _SLACK_S

    def _next_due(self, arrival: float) -> float:
        if self._due is None:
            self._due = arrival + self._phase * self._period
        return self._due

    @property
    def _spacing(self) -> float | None:
        """Seconds between keyframes; None where they are not regular."""
        if len(self._intervals) < _INTERVALS or self._strikes >= _STRIKES:
            return None
        mean = sum(self._intervals) / _INTERVALS
        apart = max(self._intervals) - min(self._intervals)
        return mean if apart <= _REGULAR * mean else None

    @property
    def _next_keyframe(self) -> float | None:
        """When the next keyframe is expected."""
        spacing, last = self._spacing, self._last_keyframe
        return None if spacing is None or last is None else last + spacing

    def _align(self, arrival: float) -> None:
        """Move the grid onto a keyframe, by less than half a period."""
        spacing = self._spacing
        if not self._aligned or spacing is None or self._due is None:
            return
        periods = spacing / self._period
        if periods < 1 or abs(periods - round(periods)) > _TOLERANCE - 1:
            return
        ahead = self._due - arrival
        if abs(ahead) < self._period / 2:
            self._due = arrival
        elif 0 < ahead <= self._period:
            self._due = arrival + self._period

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
        """Leave keyframes-only mode, and measure again."""
        self.keyframes_only = False
        self._intervals.clear()
