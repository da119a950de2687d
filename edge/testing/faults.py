"""What can be wrong with the test camera."""

import threading
from dataclasses import dataclass, field
from random import Random

_HEADERS = 16  # bytes left whole: RTP header (12) and the NAL and fragment headers behind it
_BURST = 4  # bytes overwritten in a damaged packet


@dataclass(slots=True)
class Faults:
    """Set these while the camera runs; any thread may, and each acts at once.

    Attributes:
        stall: No video is sent; connections stay open and requests are answered. When it ends, the
            frames that came due meanwhile follow in a burst, as after a network hiccup.
        refuse: A new connection is accepted and closed at once.
        blackhole: Connections are accepted and read, and nothing is ever sent, to old or new ones.
        loss: Probability that an RTP packet is left out.
        corruption: Probability that bytes inside an RTP packet are overwritten.
        time_jump_s: One shot: RTP time jumps by so many seconds, for all clients, and this is 0
            again. RTP time has 32 bits: only jumps below 23,860 s either way can be told apart.
        no_keyframe: Keyframes are left out. Packets arrive, and a client that starts now never
            gets a picture.
        seed: Of the random choices of ``loss`` and ``corruption``, for clients that connect later.
    """

    stall: bool = False
    refuse: bool = False
    blackhole: bool = False
    loss: float = 0.0
    corruption: float = 0.0
    time_jump_s: float = 0.0
    no_keyframe: bool = False
    seed: int = 0
    _jumped_s: float = field(default=0.0, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def clock_offset_s(self) -> float:
        """Seconds by which the camera's RTP time is off after all jumps so far; takes a new one."""
        with self._lock:
            self._jumped_s += self.time_jump_s
            self.time_jump_s = 0.0
            return self._jumped_s

    def damage(self, packets: list[bytes], rng: Random) -> list[bytes]:
        """The RTP packets as they arrive behind ``loss`` and ``corruption``."""
        arriving = [packet for packet in packets if rng.random() >= self.loss]
        return [
            _overwrite(packet, rng) if rng.random() < self.corruption else packet
            for packet in arriving
        ]


def _overwrite(packet: bytes, rng: Random) -> bytes:
    if len(packet) < _HEADERS + _BURST:
        return packet
    at = rng.randrange(_HEADERS, len(packet) - _BURST + 1)
    return packet[:at] + rng.randbytes(_BURST) + packet[at + _BURST :]
