"""What edge adds to the engine: from a decoded frame to its embedding, by the bare engine call."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.statistics import medians, paired_ratio, spread
from edge.errors import InferenceError
from export.compare.rounds import Spread

# What the whole path may take of the bare engine call.
TARGET_RATIO = 1.10

# The same pixels on the same engine: anything less is another computation.
_SAME_COSINE = 0.9999
_NS_PER_MS = 1e6

Progress = Callable[[], None]
Embed = Callable[[], NDArray[np.float32]]
"""Gives unit rows, float32 [N, D]."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two ways to the same embedding."""

    path: Embed
    engine: Embed


@dataclass(frozen=True, slots=True)
class PathResult:
    """The whole path by the bare engine call on the same pixels.

    Attributes:
        path_ms: Preprocess, stacking into the batch, engine, check for finite numbers, cosines;
            medians of the rounds.
        engine_ms: ``Engine.run`` alone.
        ratio: Of the two, round by round.
        pairs: That were timed.
    """

    path_ms: Spread
    engine_ms: Spread
    ratio: Spread
    pairs: int
    target: float = TARGET_RATIO


def compare(
    pairs: Sequence[Pair],
    *,
    rounds: int,
    warmup: int,
    iterations: int,
    progress: Callable[[], None],
) -> PathResult:
    """Time both ways in turns, a call each.

    Args:
        pairs: One for each picture; they take turns too.
        rounds: Medians are taken over each.
        warmup: Pairs of calls at the beginning of a round that do not count.
        iterations: Pairs of calls in a round that count.
        progress: Called after each round.

    Raises:
        InferenceError: The two do not compute the same.
    """
    path_ms: list[list[float]] = [[] for _ in range(rounds)]
    engine_ms: list[list[float]] = [[] for _ in range(rounds)]
    for this_path, this_engine in zip(path_ms, engine_ms, strict=True):
        for turn in range(warmup + iterations):
            pair = pairs[turn % len(pairs)]
            # Who comes second finds warmer caches, so they take turns in that as well.
            if turn % 2:
                bare, expected = _timed(pair.engine)
                whole, found = _timed(pair.path)
            else:
                whole, found = _timed(pair.path)
                bare, expected = _timed(pair.engine)
            _check_same(expected, found)
            if turn >= warmup:
                this_path.append(whole)
                this_engine.append(bare)
        progress()
    return PathResult(
        path_ms=spread(medians(path_ms)),
        engine_ms=spread(medians(engine_ms)),
        ratio=paired_ratio(path_ms, engine_ms),
        pairs=rounds * iterations,
    )


def _timed(call: Embed) -> tuple[float, NDArray[np.float32]]:
    start = time.perf_counter_ns()
    embeddings = call()
    return (time.perf_counter_ns() - start) / _NS_PER_MS, embeddings


def _check_same(expected: NDArray[np.float32], found: NDArray[np.float32]) -> None:
    cosine = float(np.einsum("nd,nd->n", expected, found).min())
    if not cosine >= _SAME_COSINE:
        raise InferenceError(
            f"expected the same embedding from the whole path as from the bare engine, found a "
            f"cosine of {cosine:.4f}: their times cannot be compared"
        )
