"""Defines the faults of the test camera."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal

_HEADERS = 16  # bytes never damaged: RTP header (12) and the NAL and fragment headers
_RTP_HEADER = 12  # bytes
_BURST = 4  # bytes overwritten in a damaged packet

Clock = Literal["zero", "random", "milliseconds", "backwards"]


@dataclass(slots=True)
class Faults:
    """Faults of a camera. Any thread may set them while the camera runs; each acts at once.

    Attributes:
        stall: Whether no video is sent; connections stay open and requests are answered. When the
            stall ends, the frames that came due meanwhile follow in a burst, as after a network
            interruption.
        refuse: Whether a new connection is accepted and closed at once.
        blackhole: Whether connections, old and new, are accepted and read but get no data.
        loss: Probability that an RTP packet is left out.
        corruption: Probability that bytes inside an RTP packet are overwritten.
        time_jump_s: Seconds by which RTP time jumps once, for all clients; the value then returns
            to 0. RTP time has 32 bits, so only jumps below 23,860 s in either direction are unique.
        truncation: Probability that an RTP packet is cut off somewhere.
        garbage: Probability that an RTP packet has random bytes in place of video.
        trickle: Whether connections, old and new, get one byte a second, answers included. When
            this ends, the rest follows in a burst, as after a stall.
        reset: Whether every connection that plays is broken off in the middle of a picture (RST).
        no_keyframe: Whether keyframes are left out. Packets arrive, but a client that starts now
            never gets a picture.
        clock: What is wrong with RTP time: ``zero`` for ever, ``random``, counted in
            ``milliseconds`` though the description says 90 kHz, or ``backwards``; None: nothing.
        frozen: Whether the newest keyframe is sent again and again, at the pace of the clip: the
            camera streams, and its picture stands still.
        answers: Status line instead of an answer, by method, such as ``{"SETUP": "453 Not Enough
            Bandwidth"}``.
        title: Name of the session in the description, in any encoding.
        other_media: Media that the description names before the clip's own, such as ``m=video 0
            RTP/AVP 26`` with more lines if need be. They can be set up and send nothing.
        seed: Seed of all that is random, for clients that connect later.
    """

    stall: bool = False
    refuse: bool = False
    blackhole: bool = False
    loss: float = 0.0
    corruption: float = 0.0
    truncation: float = 0.0
    garbage: float = 0.0
    trickle: bool = False
    reset: bool = False
    time_jump_s: float = 0.0
    no_keyframe: bool = False
    clock: Clock | None = None
    frozen: bool = False
    answers: Mapping[str, str] = field(default_factory=dict)
    title: bytes = b"edge.testing"
    other_media: Sequence[str] = ()
    seed: int = 0
    _jumped_s: float = field(default=0.0, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def clock_offset_s(self) -> float:
        """Sum of all jumps of RTP time in seconds, a new jump included, which this call applies."""
        with self._lock:
            self._jumped_s += self.time_jump_s
            self.time_jump_s = 0.0
            return self._jumped_s

    def written_time_s(self, time_s: float, rng: Random) -> float:
        """Return the stream time that the camera writes for ``time_s``."""
        match self.clock:
            case None:
                return time_s
            case "zero":
                return 0.0
            case "random":
                return rng.uniform(0.0, 40_000.0)
            case "milliseconds":
                return time_s / 90
            case "backwards":
                return -time_s

    def damage(self, packets: list[bytes], rng: Random) -> list[bytes]:
        """Return the RTP packets as they arrive."""
        arriving = [packet for packet in packets if rng.random() >= self.loss]
        for probability, hurt in (
            (self.corruption, _overwrite),
            (self.truncation, _cut),
            (self.garbage, _replace),
        ):
            arriving = [
                hurt(packet, rng) if rng.random() < probability else packet for packet in arriving
            ]
        return arriving


def _overwrite(packet: bytes, rng: Random) -> bytes:
    if len(packet) < _HEADERS + _BURST:
        return packet
    at = rng.randrange(_HEADERS, len(packet) - _BURST + 1)
    return packet[:at] + rng.randbytes(_BURST) + packet[at + _BURST :]


def _cut(packet: bytes, rng: Random) -> bytes:
    return packet[: rng.randrange(_RTP_HEADER, len(packet) + 1)]


def _replace(packet: bytes, rng: Random) -> bytes:
    return packet[:_RTP_HEADER] + rng.randbytes(len(packet) - _RTP_HEADER)
