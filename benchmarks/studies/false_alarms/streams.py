"""Generates streams of margins with known properties, two samples a second, to test thresholds.

Each stream is a sequence of days; the same seed gives the same stream. The made ones are about as
large as margins of CLIP: a spread of 0.02 around a mean of -0.1. What they are made of is in
``makers``; the recorded ones are in ``recorded``.
"""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.studies.false_alarms.makers import DAY, FPS, MADE
from benchmarks.studies.false_alarms.recorded import recorded_days
from benchmarks.studies.false_alarms.recorded_file import SENTENCES

SPREAD: Final = 0.02
"""Standard deviation of a made margin."""
CENTRE: Final = -0.1
"""Mean of a made margin."""

RECORDED: Final[Mapping[str, str]] = MappingProxyType(
    {f"recorded: {sentence}": sentence for sentence in SENTENCES}
)
"""Sentences of the recorded kinds, by kind."""
STREAMS: Final = (*MADE, *RECORDED)
"""All kinds of streams."""
HELD_OUT: Final = frozenset({"patrol", "insects", "fog", "headlights"})
"""Kinds that were made when the method was final; nothing of it was chosen by them."""


@dataclass(frozen=True, slots=True, eq=False)
class StreamDay:
    """One day of a stream.

    Attributes:
        margins: float64 [DAY].
        jumps: Samples at which the level of the whole stream jumped.
    """

    margins: NDArray[np.float64]
    jumps: tuple[int, ...] = ()


def stream(kind: str, seed: int) -> Iterator[StreamDay]:
    """Yield the days of a stream without end.

    Args:
        kind: One of ``STREAMS``.
        seed: Seed of the stream.
    """
    if kind in RECORDED:
        for recorded in recorded_days(RECORDED[kind], seed):
            yield StreamDay(recorded.margins, recorded.pushes)
        return
    rng = np.random.default_rng([seed, zlib.crc32(kind.encode())])
    for values, jumps in MADE[kind](rng):
        yield StreamDay(CENTRE + SPREAD * values, tuple(sorted(jumps)))


def margins(kind: str, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield the margins of the days of ``stream``, float64 [DAY] each."""
    return (day.margins for day in stream(kind, seed))


__all__ = [
    "CENTRE", "DAY", "FPS", "HELD_OUT", "RECORDED", "SPREAD", "STREAMS", "StreamDay",
    "margins", "stream",
]  # fmt: skip
