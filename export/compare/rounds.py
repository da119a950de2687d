"""Times several ways in turns: in each round every way has one turn, in a newly drawn order.

A turn is a block of calls: one graph's weights fill the caches, and alternating call by call would
time the memory. Other work on the machine comes and goes over minutes, so only times of one round
compare.
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
class RoundsSummary:
    """Median, lowest and highest number of several rounds."""

    median: float
    low: float
    high: float


def summarize(rounds: Sequence[float]) -> RoundsSummary:
    """Summarize one number per round, for at least one round."""
    return RoundsSummary(median(rounds), min(rounds), max(rounds))


def in_turns(
    ways: Mapping[str, Callable[[], Call]],
    rounds: int,
    turn_s: float,
    turn_done: Callable[[], None] = lambda: None,
) -> dict[str, list[float]]:
    """Return the median of a call in each round, milliseconds, by way.

    Args:
        ways: Functions that open a call, by way. Each opens one in every round; the first call of a
            turn does not count.
        rounds: Number of turns of each way.
        turn_s: Least length of a turn, seconds.
        turn_done: Function that is called after each turn.
    """
    random = Random(0)  # noqa: S311 an order, no secret
    medians: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way in random.sample(list(ways), len(ways)):
            medians[way].append(_turn(ways[way](), turn_s))
            turn_done()
    return medians


def _turn(call: Call, turn_s: float) -> float:
    call()
    took: list[float] = []
    while len(took) < _FEWEST or sum(took) < 1000 * turn_s:
        began = time.perf_counter()
        call()
        took.append(1000 * (time.perf_counter() - began))
    return median(took)
