"""Writes RTP and RTCP packets: RFC 3550, H.264 (RFC 6184) and H.265 (RFC 7798) payloads.

A NAL unit that fits is sent unchanged, a larger one in fragmentation units. Small NAL units are not
aggregated, which would save a few bytes: receivers must accept single ones anyway.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from secrets import randbits

from edge.testing.clip import Codec

CLOCK_HZ = 90_000
"""RTP clock of every video payload (RFC 6184 section 8.2.1, RFC 7798 section 7.1)."""

PAYLOAD_TYPE = 96
"""The first dynamic payload type; the SDP binds it to the codec."""

MAX_PAYLOAD = 1400
"""Bytes. TCP would carry more, but cameras cut for Ethernet, and so loss hits realistic pieces."""

_NTP_EPOCH_S = 2_208_988_800  # 1900 to 1970, RFC 5905
_FU_A = 28  # RFC 6184 section 5.8
_FU = 49  # RFC 7798 section 4.4.3
_START, _END = 0x80, 0x40
_SENDER_REPORT, _SOURCE_DESCRIPTION, _CNAME = 200, 202, 1


def packetise(codec: Codec, nal: bytes, limit: int = MAX_PAYLOAD) -> list[bytes]:
    """Return RTP payloads of at most ``limit`` bytes that contain one NAL unit."""
    if len(nal) <= limit:
        return [nal]
    if codec == "h264":
        prefix = bytes([(nal[0] & 0xE0) | _FU_A])
        kind, body = nal[0] & 0x1F, nal[1:]
    else:
        prefix = bytes([(nal[0] & 0x81) | (_FU << 1), nal[1]])
        kind, body = (nal[0] >> 1) & 0x3F, nal[2:]
    step = limit - len(prefix) - 1
    pieces = [body[at : at + step] for at in range(0, len(body), step)]
    flags = [_START] + [0] * (len(pieces) - 2) + [_END]
    return [
        prefix + bytes([flag | kind]) + piece for flag, piece in zip(flags, pieces, strict=True)
    ]


def interleaved(channel: int, packet: bytes) -> bytes:
    """Return ``packet`` framed for the RTSP connection (RFC 2326 section 10.12)."""
    return b"$" + struct.pack(">BH", channel, len(packet)) + packet


@dataclass(slots=True)
class RtpStream:
    """RTP sender, which numbers and stamps the packets.

    Attributes:
        codec: Codec, which selects the payload format.
        ssrc: Identity of the sender, random (RFC 3550 section 8).
        sequence: Number of the next packet, 16 bits, random start.
        origin: RTP timestamp of stream time 0, 32 bits, random.
        marks: Whether the last packet of a picture has its marker.
    """

    codec: Codec
    ssrc: int = field(default_factory=lambda: randbits(32))
    sequence: int = field(default_factory=lambda: randbits(16))
    origin: int = field(default_factory=lambda: randbits(32))
    marks: bool = True
    _packets: int = 0
    _octets: int = 0

    def timestamp(self, time_s: float) -> int:
        """Return the RTP timestamp of a stream time in seconds."""
        return (self.origin + round(time_s * CLOCK_HZ)) & 0xFFFFFFFF

    def packets(self, nals: Iterable[bytes], time_s: float) -> list[bytes]:
        """RTP packets of one access unit shown at ``time_s``; the last one has the marker."""
        payloads = [payload for nal in nals for payload in packetise(self.codec, nal)]
        return [
            self._packet(payload, time_s, marker=self.marks and number == len(payloads))
            for number, payload in enumerate(payloads, start=1)
        ]

    def sender_report(self, wall_s: float, time_s: float) -> bytes:
        """Return an RTCP compound packet: stream time ``time_s`` is UTC second ``wall_s``."""
        ntp = round((wall_s + _NTP_EPOCH_S) * 2**32)
        counts = (self._packets & 0xFFFFFFFF, self._octets & 0xFFFFFFFF)
        report = struct.pack(">IQIII", self.ssrc, ntp, self.timestamp(time_s), *counts)
        name = b"edge.testing"
        chunk = struct.pack(">IBB", self.ssrc, _CNAME, len(name)) + name
        chunk += b"\0" * (4 - len(chunk) % 4)  # at least one zero, which ends the list of items
        return _rtcp(0, _SENDER_REPORT, report) + _rtcp(1, _SOURCE_DESCRIPTION, chunk)

    def _packet(self, payload: bytes, time_s: float, *, marker: bool) -> bytes:
        header = struct.pack(
            ">BBHII",
            0x80,  # version 2
            marker << 7 | PAYLOAD_TYPE,
            self.sequence,
            self.timestamp(time_s),
            self.ssrc,
        )
        self.sequence = (self.sequence + 1) & 0xFFFF
        self._packets += 1
        self._octets += len(payload)
        return header + payload


def _rtcp(count: int, kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0x80 | count, kind, len(body) // 4) + body
