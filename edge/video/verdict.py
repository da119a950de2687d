"""Judges what a camera streams: of use, hardly any samples, or the same picture for ever."""

import av

from edge.video.keyframes import Keyframes
from edge.video.packet import Packet
from edge.video.shortfall import Shortfall
from edge.video.spans import JudgedSpans
from edge.video.stillness import Stillness, brightness_of
from edge.video.worker import State


class StreamVerdict:
    """Verdict on one stream, from its first frame.

    Args:
        wanted_fps: Samples per second wanted.
        now: Arrival of the first frame, monotonic seconds.
        spans: Spans that are judged together.
        idle_fps: Samples per second wanted while nothing moves.
    """

    def __init__(
        self, wanted_fps: float, now: float, spans: JudgedSpans, idle_fps: float = 0.1
    ) -> None:
        self._frozen_s = spans.frozen_s
        self._shortfall = Shortfall(wanted_fps, now, spans.samples_s, idle_fps)
        self._stillness = Stillness(spans.frozen_s)
        self._keyframes = Keyframes()
        self._samples, self._sampled_at = 0, now  # since the last keyframe; the newest one

    def arrived(self, packet: Packet, damaged: int) -> None:
        """Record a packet, and how many packets and frames were left out as damaged with it."""
        now, keyframes = packet.arrival.monotonic, self._keyframes
        self._shortfall.arrived(now, damaged)
        if keyframes.repeats(packet):
            self._stillness.same()
        seen = self._sampled_at == now
        for keyframe in keyframes.look(packet, samples=self._samples, seen=seen):
            if keyframe is None:
                self._stillness.new()
                continue
            brightness = brightness_of(keyframe.picture)
            self._stillness.see(brightness, keyframe.arrival, keyframe.number, other=False)
        if packet.is_keyframe:
            self._samples = 0

    def idle(self, now: float) -> None:
        """Record that no samples are wanted at present but a heartbeat."""
        self._shortfall.idle(now)

    def sampled(self, picture: av.VideoFrame, now: float) -> None:
        """Record a sample, the picture as it was decoded."""
        self._samples, self._sampled_at = self._samples + 1, now
        self._shortfall.sampled(now)
        key = picture.key_frame
        number = self._keyframes.number + key  # its packet is counted after it
        other = self._keyframes.alone or not key
        self._stillness.see(brightness_of(picture), now, number, other=other)

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
