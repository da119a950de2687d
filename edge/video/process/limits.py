"""Defines what a camera's process may take."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """What a camera's process may take before it is ended.

    Attributes:
        silence_s: Seconds without a record. It sends its health each second.
        opening_s: Seconds without a record while the devices of a camera that has some are opened.
        decode_s: Seconds for decoding one packet, and making a sample of it.
        memory_bytes: Memory that it has for itself.
        threads: Threads that it has.
        records: Records in a second.
        lines: Records of the log in ten seconds. An honest process sends half as many at most.
        answer_s: Seconds for an answer; the loop waits for it.
        asking_share: Share of the time for which the daemon waits for its answers.
        parting_s: Seconds to end once it is asked to.
        linger_s: Seconds for which a camera that has ended can still be asked for its last frames.
    """

    silence_s: float = 4.0
    opening_s: float = 30.0
    decode_s: float = 4.0
    memory_bytes: int = 512 * 1024 * 1024
    threads: int = 64
    records: int = 1000
    lines: int = 100
    answer_s: float = 2.0
    asking_share: float = 0.05
    parting_s: float = 1.0
    linger_s: float = 2.0


LIMITS: Final = ProcessLimits()
