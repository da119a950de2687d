"""Timing in turns: in each round every way has one, in an order drawn anew.

A turn is a block of calls: one graph's weights fill the caches, and alternating call by call would
time the memory.
What the machine does beside comes and goes over minutes, so only times of one round compare.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import median
from typing import Any, Final

_FEWEST: Final = 2

Call = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Spread:
    """What the rounds gave: their median, the lowest, the highest."""

    median: float
    low: float
    high: float


def spread_of(rounds: Sequence[float]) -> Spread:
    """Summarize one number of each round, at least one."""
    return Spread(median(rounds), min(rounds), max(rounds))


def in_turns(
    ways: Mapping[str, Callable[[], Call]],
    rounds: int,
    turn_s: float,
    told: Callable[[], None] = lambda: None,
) -> dict[str, list[float]]:
    """Return the median of a call in each round, milliseconds, by way.

    Args:
        ways: Opens what is then called again and again; once in each round, and its first call
            does not count.
        rounds: Turns of each way.
        turn_s: Seconds that a turn takes at least.
        told: Called after each turn.
    """
    random = Random(0)  # noqa: S311 an order, no secret
    medians: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way in random.sample(list(ways), len(ways)):
            medians[way].append(_turn(ways[way](), turn_s))
            told()
    return medians


def _turn(call: Call, turn_s: float) -> float:
    call()
    took: list[float] = []
    while len(took) < _FEWEST or sum(took) < 1000 * turn_s:
        began = time.perf_counter()
        call()
        took.append(1000 * (time.perf_counter() - began))
    return median(took)
