"""Lets one file through the gate, as the daemon does with a camera, and says what came of it."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.studies.gate.scenes import SceneEvent
from edge.video.activity.gate import HOLD_S, ActivityGate
from edge.video.activity.health import GateState
from edge.video.decode import Decoder, kept_frames
from edge.video.packet import Packet
from edge.video.sample import Arrival
from edge.video.sampler import Sampler
from edge.video.sources import open_source

SAMPLES, IDLE = 2.0, 0.1
# Seconds after the begin in which the gate may still learn, for shares of quiet time.
LEARNING_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Passage:
    """What became of one file.

    Attributes:
        seconds: Length of the file.
        samples: Arrivals of the samples, and whether each is a heartbeat.
        states: Seconds in each state of the gate while nothing happened and it had learned.
        decoded: Share of the pictures that were decoded.
        decoded_quiet: The same while nothing happened and the gate had learned.
        cores: CPU time divided by the length, of demuxing, gate and decoding.
        cores_later: The same without the beginning, in which the gate learns.
    """

    seconds: float
    samples: tuple[tuple[float, bool], ...]
    states: dict[str, float]
    decoded: float
    decoded_quiet: float
    cores: float
    cores_later: float


def let_through(
    path: Path, rate: float, events: tuple[SceneEvent, ...] = (), *, gated: bool = True
) -> Passage:
    """Let the file at ``path`` through, its packets ``rate`` a second."""
    quiet: Counter[GateState] = Counter()
    decoded: list[int] = []
    began = later = time.thread_time()
    with open_source(str(path)) as source:
        decoder = Decoder(source.stream)
        gate = ActivityGate.of(source.stream) if gated else None
        arrivals: list[float] = []

        def packets() -> Iterator[Packet]:
            nonlocal later
            for number, packet in enumerate(source.packets()):
                now = number / rate
                if now <= LEARNING_S:
                    later = time.thread_time()
                yield Packet(Arrival(now, now, None), packet.is_keyframe, packet.size, packet.data)
                arrivals.append(now)
                decoded.append(decoder.frames)
                if gate is not None and _is_quiet(now, events):
                    quiet[gate.state] += 1

        sampler = Sampler(SAMPLES, 0.3, idle=IDLE, aligned=True)
        samples = tuple(
            (frame.arrival.monotonic, frame.heartbeat)
            for frame in kept_frames(packets(), decoder, sampler, gate)
        )
    ended = time.thread_time()
    steps = [
        (now, after - before)
        for now, before, after in zip(arrivals, [0, *decoded], decoded, strict=False)
    ]
    of_quiet = [count for now, count in steps if _is_quiet(now, events)]
    return Passage(
        len(arrivals) / rate,
        samples,
        {state: count / rate for state, count in quiet.items()},
        decoder.frames / len(arrivals),
        sum(of_quiet) / max(1, len(of_quiet)),
        (ended - began) / (len(arrivals) / rate),
        (ended - later) / (len(arrivals) / rate - LEARNING_S),
    )


def is_seen(event: SceneEvent, passage: Passage) -> bool:
    """Whether an event came through.

    Of what moves two samples at the full rate are wanted, so that a rule with ``{for: 2}`` holds
    (one of an event of less than a second); of what stands still one sample, also a heartbeat.
    """
    begin, end = event.begin_s - event.tolerance_s, event.end_s + event.tolerance_s
    inside = [heartbeat for now, heartbeat in passage.samples if begin <= now <= end]
    if not event.moves:
        return bool(inside)
    wanted = min(2, int((event.end_s - event.begin_s) * SAMPLES))
    return inside.count(False) >= wanted


def _is_quiet(now: float, events: tuple[SceneEvent, ...]) -> bool:
    return now > LEARNING_S and not any(
        e.begin_s - e.tolerance_s <= now <= e.end_s + e.tolerance_s + HOLD_S
        for e in events
        if e.moves
    )
