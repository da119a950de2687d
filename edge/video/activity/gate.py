"""Tells from packets whether a moment is worth decoding. Pure: each call gives the time.

Open, all samples are made; closed, a heartbeat now and then. The gate opens at once when packets
cost more than they do while nothing moves, or when a decoded picture differs from the one before.
In doubt it is open: until it has learned the packets of the still scene, from stretches that the
decoded pictures call still; where packets cannot be read; and where noise hides small events in
the packets while keyframes, at which it could look instead, come too rarely.
"""

import math
from typing import Final, Self

import av

from edge.video.activity.changes import Changes, Reducer
from edge.video.activity.costs import CostModel
from edge.video.activity.health import GateHealth, GateState
from edge.video.bitstream.reader import CODECS, HeaderReader
from edge.video.packet import Packet

# Seconds for which the gate stays open after the last movement.
HOLD_S: Final = 4.0
# Seconds between keyframes up to which looking at them makes up for noise in the packets.
_LOOKS_S: Final = 5.0
# Seconds between pictures that are compared, at least: what moves slowly moves far enough.
_APART_S: Final = 0.9
# Packets without a header that can be read, after which none is expected.
_UNREADABLE: Final = 50
# Seconds over which the share of open time is averaged.
_SHARE_S: Final = 600.0


class ActivityGate:
    """Gate of one stream.

    Args:
        codec: FFmpeg's name of the codec.
        extradata: What the container or the SDP says of it.

    Attributes:
        state: Why the gate is open, or ``still``: it is closed.
        is_open: Whether all samples are worth making.
        sees_little: Whether pictures are to be looked at between heartbeats: noise hides small
            events in the packets.
        share: Share of the time that the gate was open, over about ten minutes, 0..1.
    """

    def __init__(self, codec: str, extradata: bytes) -> None:
        self.state: GateState = "learning"
        self.is_open = self.sees_little = True
        self.share = 1.0
        self._reader = HeaderReader(codec, extradata) if codec in CODECS else None
        self._unread = 0
        self._costs, self._changes, self._reduce = CostModel(), Changes(), Reducer()
        self._now = self._moved = self._seen = -math.inf
        self._keyframe, self._spacing = math.nan, math.nan

    @classmethod
    def of(cls, stream: av.VideoStream) -> Self:
        """Return a gate of FFmpeg's stream."""
        context = stream.codec_context
        return cls(context.name, bytes(context.extradata or b""))

    def arrived(self, packet: Packet) -> None:
        """Look at the next packet."""
        now, before = packet.arrival.monotonic, self._now
        self._now = now
        if before > -math.inf:
            self.share += (self.is_open - self.share) * min(1.0, (now - before) / _SHARE_S)
        if packet.is_keyframe:
            self._spacing, self._keyframe = now - self._keyframe, now
        header = None if self._reader is None else self._reader.read(bytes(packet.data))
        if header is None:
            self._unread += 1
        else:
            self._unread = 0
            self._costs.arrived(now, header, is_keyframe=packet.is_keyframe)
            if self._costs.unusual:
                self._moved = now
        self._judge()

    def saw(self, picture: av.VideoFrame) -> None:
        """Look at a decoded picture, of the packet that arrived last or of one shortly before."""
        if self._now - self._seen < _APART_S:
            return
        self._seen = self._now
        if self._changes.look(self._reduce(picture)):
            self._moved = self._now
            self._costs.moved()
        else:
            self._costs.still()
        self.sees_little = not self._costs.sharp
        self._judge()

    @property
    def health(self) -> GateHealth:
        """State and share, for people."""
        return GateHealth(self.state, self.share)

    def _judge(self) -> None:
        self.state = self._why()
        self.is_open = self.state != "still"

    def _why(self) -> GateState:
        if self._reader is None or self._unread >= _UNREADABLE:
            return "unreadable"
        if not self._costs.learned:
            return "learning"
        if self._now - self._moved < HOLD_S:
            return "moving"
        return "noisy" if self.sees_little and not self._has_keyframes else "still"

    @property
    def _has_keyframes(self) -> bool:
        return max(self._spacing, self._now - self._keyframe) <= _LOOKS_S
