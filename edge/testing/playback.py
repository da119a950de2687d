"""Plays a clip in time: says when each access unit of each pass is due, and gives its bytes."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

from edge.testing.clip import AccessUnit, Clip, Codec, nal_type
from edge.testing.faults import Faults
from edge.testing.habits import PLAIN, Habits
from edge.testing.protocol.rtp import RtpStream, interleaved

Passes = list[tuple[float, float]]
"""(wall, monotonic) seconds at which each pass of a clip began."""

_REPORT_EVERY_S = 5.0  # RTCP interval, RFC 3550 section 6.2
# Types of NAL units that are parameter sets.
_PARAMETER_SETS: Final = {"h264": {7, 8}, "hevc": {32, 33, 34}}
# Channels from those of the video to one that nobody asked for, and the bytes that come there.
_UNASKED: Final = (4, b"\x80\x6b" + bytes(400))


@dataclass(frozen=True, slots=True)
class Showing:
    """One access unit in one pass of the clip; times in seconds since PLAY.

    Attributes:
        codec: Codec of its clip.
        unit: Access unit to send.
        due_s: Time to send it.
        time_s: Stream time of the unit, which continues to grow from pass to pass.
        opens_pass: Whether the unit is the first one of its pass.
    """

    codec: Codec
    unit: AccessUnit
    due_s: float
    time_s: float
    opens_pass: bool


def showings(current: Callable[[], Clip], *, loop: bool) -> Iterator[Showing]:
    """Yield all access units of the current clip in sending order; with ``loop``, for ever.

    Where the current clip becomes another one, that one begins at once, and time goes on.
    """
    begin_s = 0.0
    while True:
        clip = current()
        for index, unit in enumerate(clip.units):
            due_s, time_s = begin_s + unit.dts_s, begin_s + unit.pts_s
            if current() is not clip:
                begin_s = due_s
                break
            yield Showing(clip.codec, unit, due_s, time_s, index == 0)
        else:
            if not loop:
                return
            begin_s += clip.duration_s


class Player:
    """Plays a clip to one client, starting now.

    Args:
        current: Gives the clip to play.
        stream: RTP sender, which numbers and stamps the packets.
        channels: Interleaved channels for RTP and RTCP.
        faults: Faults of the camera, read at every access unit.
        rng: Random numbers that choose the lost and damaged packets.
        passes: List to which the beginning of each pass is appended when it is sent.
        loop: Whether to play for ever.
        habits: Habits of the camera.
    """

    def __init__(
        self,
        current: Callable[[], Clip],
        stream: RtpStream,
        channels: tuple[int, int],
        *,
        faults: Faults,
        rng: Random,
        passes: Passes,
        loop: bool,
        habits: Habits = PLAIN,
    ) -> None:
        self._stream = stream
        self._habits = habits
        stream.marks = habits.marker
        self._rtp_channel, self._rtcp_channel = channels
        self._faults = faults
        self._rng = rng
        self._passes = passes
        self._showings = showings(current, loop=loop)
        self._next = next(self._showings, None)
        self._began_wall, self._began = time.time(), time.monotonic()
        self._report_due_s = 0.0
        self._keyframe: AccessUnit | None = None  # the newest one that was due
        # Earlier jumps do not count for this client.
        self._earlier_jumps_s = faults.clock_offset_s()

    @property
    def due(self) -> float | None:
        """Monotonic second at which to call ``take`` next; None after the last frame."""
        return None if self._next is None else self._began + self._next.due_s

    def take(self) -> bytes:
        """Return the interleaved packets of the next access unit, and a sender report if due."""
        showing = self._next
        if showing is None:
            return b""
        self._next = next(self._showings, None)
        if showing.opens_pass:
            self._passes.append(
                (self._began_wall + showing.due_s, self._began + showing.due_s),
            )
        jump_s = self._faults.clock_offset_s() - self._earlier_jumps_s
        return self._report(showing, jump_s) + self._video(showing, jump_s)

    def _report(self, showing: Showing, jump_s: float) -> bytes:
        if showing.due_s < self._report_due_s or self._habits.reports == "none":
            return b""
        self._report_due_s = showing.due_s + _REPORT_EVERY_S
        began_wall = 0.0 if self._habits.reports == "1970" else self._began_wall
        report = self._stream.sender_report(began_wall + showing.due_s, showing.due_s + jump_s)
        return interleaved(self._rtcp_channel, report)

    def _video(self, showing: Showing, jump_s: float) -> bytes:
        unit = showing.unit
        if self._faults.frozen and self._keyframe is not None:
            unit = self._keyframe
        elif unit.keyframe:
            self._keyframe = unit
        if self._faults.no_keyframe and unit.keyframe:
            return b""
        time_s = self._faults.written_time_s(showing.time_s + jump_s, self._rng)
        self._stream.codec = showing.codec
        packets = self._stream.packets(self._nals(showing.codec, unit), time_s)
        arriving = self._faults.damage(packets, self._rng)
        sent = [interleaved(self._rtp_channel, packet) for packet in arriving]
        if self._habits.unasked:
            channels, packet = _UNASKED
            sent.append(interleaved(self._rtp_channel + channels, packet))
        return b"".join(sent)

    def _nals(self, codec: Codec, unit: AccessUnit) -> tuple[bytes, ...]:
        if not self._habits.bare:
            return unit.nals
        return tuple(nal for nal in unit.nals if nal_type(codec, nal) not in _PARAMETER_SETS[codec])
