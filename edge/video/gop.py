"""Keeps the packets since the last keyframe compressed, until a picture of them is wanted. Pure.

A compressed picture needs its predecessors back to the last keyframe. Kept compressed they cost
memory only, and the present picture is there at once when it is wanted: by decoding from the
keyframe on. That costs up to ``LONGEST_S`` of pictures in one go, about 0.1 s of a core for 640x360
and 0.6 s for 1080p at 25 pictures a second.

Where keyframes are further apart, or packets larger than ``MOST_BYTES`` together, the packets are
to be decoded when a bound is reached; then decoding costs about as much as if all were decoded.
"""

from typing import Final

from edge.video.packet import Packet

# Bounds for each camera: ten seconds of 3 Mbit/s.
MOST_BYTES: Final = 4 * 1024**2
LONGEST_S: Final = 10.0
# What keeping a packet takes besides its bytes: a hostile stream sends any number of small ones.
_PACKET_BYTES: Final = 1024


class Gop:
    """Packets of one stream that have not been decoded.

    Args:
        most_bytes: Bytes of memory that are taken.
        longest_s: Seconds that are kept, by arrival.

    Attributes:
        gap: Whether packets before the kept ones were never decoded.
    """

    def __init__(self, most_bytes: int = MOST_BYTES, longest_s: float = LONGEST_S) -> None:
        self.gap = False
        self._most_bytes, self._longest_s = most_bytes, longest_s
        self._packets: list[Packet] = []
        self._bytes = 0
        self._began = False  # with a keyframe: there is something to go on from

    def add(self, packet: Packet) -> None:
        """Keep the next packet; a keyframe replaces all others."""
        if packet.is_keyframe:
            self.gap = self.gap or bool(self._packets)
            self._packets, self._bytes, self._began = [], 0, True
        if self._began:
            self._packets.append(packet)
            self._bytes += packet.size + _PACKET_BYTES

    @property
    def is_full(self) -> bool:
        """Whether the packets are to be decoded, as no more may be kept."""
        if not self._packets:
            return False
        span_s = self._packets[-1].arrival.monotonic - self._packets[0].arrival.monotonic
        return self._bytes > self._most_bytes or span_s > self._longest_s

    def take(self) -> list[Packet]:
        """Return the packets, to be decoded in order, and keep none of them."""
        taken, self._packets, self._bytes, self.gap = self._packets, [], 0, False
        return taken
