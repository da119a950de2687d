"""Judges what a camera streams: of use, hardly any samples, or the same picture for ever."""

from dataclasses import dataclass
from typing import Final

import av

from edge.video.shortfall import SHORTEST_S, Shortfall
from edge.video.stillness import FROZEN_S, Stillness, brightness_of
from edge.video.worker import State


@dataclass(frozen=True, slots=True)
class JudgedSpans:
    """Spans that are judged together.

    Attributes:
        samples_s: Seconds in which samples are counted, at least.
        frozen_s: Seconds of the same picture after which a camera counts as frozen.
    """

    samples_s: float = SHORTEST_S
    frozen_s: float = FROZEN_S


SPANS: Final = JudgedSpans()


class StreamVerdict:
    """Verdict on one stream, from its first frame.

    Args:
        wanted_fps: Samples per second wanted.
        now: Arrival of the first frame, monotonic seconds.
        spans: Spans that are judged together.
    """

    def __init__(self, wanted_fps: float, now: float, spans: JudgedSpans) -> None:
        self._frozen_s = spans.frozen_s
        self._shortfall = Shortfall(wanted_fps, now, spans.samples_s)
        self._stillness = Stillness(spans.frozen_s)
        self._keyframes = 0

    def arrived(self, now: float, *, is_keyframe: bool, damaged: int) -> None:
        """Record a packet, and how many packets and frames were left out as damaged with it."""
        self._keyframes += is_keyframe
        self._shortfall.arrived(now, damaged)

    def sampled(self, picture: av.VideoFrame, now: float) -> None:
        """Record a sample, the picture as it was decoded."""
        self._shortfall.sampled(now)
        self._stillness.see(brightness_of(picture), now, self._keyframes)

    @property
    def frozen(self) -> bool:
        """Whether the camera sends the same picture for long."""
        return self._stillness.frozen

    @property
    def words(self) -> tuple[State, str | None]:
        """State of the camera, and what is wrong with it."""
        if self.frozen:
            return "frozen", f"sends the same picture for {self._frozen_s:g} s: restart the camera"
        reason = self._shortfall.reason
        return ("streaming", None) if reason is None else ("degraded", reason)
