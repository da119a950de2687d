"""Compares the path from a decoded frame to its embedding with the bare engine call."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring.statistics import medians, paired_ratio, summary
from edge.errors import InferenceError
from export.compare.rounds import RoundsSummary

# Maximum time of the whole path, as a multiple of the bare engine call.
TARGET_RATIO = 1.10

# Minimum cosine for the same pixels on the same engine: less means another computation.
_SAME_COSINE = 0.9999
_NS_PER_MS = 1e6

Embed = Callable[[], NDArray[np.float32]]
"""Function that returns unit rows, float32 [N, D]."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two ways to the same embedding.

    Attributes:
        path: Whole path from a decoded frame to its embedding.
        engine: Bare call of the engine on the same pixels.
    """

    path: Embed
    engine: Embed


@dataclass(frozen=True, slots=True)
class PathResult:
    """Times of the whole path and of the bare engine call on the same pixels.

    Attributes:
        path_ms: Time of preprocess, stacking into the batch, engine, check for finite numbers and
            cosines; median and range of the rounds' medians, milliseconds.
        engine_ms: Time of ``Engine.run`` alone, in the same form.
        ratio: ``path_ms`` by ``engine_ms``; median and range of the rounds' ratios.
        pairs: Number of timed pairs.
        target: Largest ratio that the project allows itself.
    """

    path_ms: RoundsSummary
    engine_ms: RoundsSummary
    ratio: RoundsSummary
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
    """Time both ways in turns, one call each.

    Args:
        pairs: One pair for each picture; the pairs take turns too.
        rounds: Number of rounds; each gives a median.
        warmup: Pairs of calls at the beginning of a round that do not count.
        iterations: Pairs of calls in a round that count.
        progress: Called after each round.

    Raises:
        InferenceError: The two ways give different embeddings.
    """
    path_ms: list[list[float]] = [[] for _ in range(rounds)]
    engine_ms: list[list[float]] = [[] for _ in range(rounds)]
    for this_path, this_engine in zip(path_ms, engine_ms, strict=True):
        for turn in range(warmup + iterations):
            pair = pairs[turn % len(pairs)]
            # The second call finds warmer caches, so each way is the second one every other time.
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
        path_ms=summary(medians(path_ms)),
        engine_ms=summary(medians(engine_ms)),
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
