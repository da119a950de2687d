"""The whole path against the bare engine, on functions that count their calls."""

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.pipeline.path import Pair, compare
from edge.errors import InferenceError


def unit(*values: float) -> np.ndarray:
    row = np.array([values], np.float32)
    return row / np.linalg.norm(row)


def test_the_whole_path_and_the_engine_take_turns() -> None:
    calls: list[str] = []

    def record(name: str) -> Callable[[], np.ndarray]:
        def call() -> np.ndarray:
            calls.append(name)
            return unit(1, 2)

        return call

    pairs = [Pair(record("path"), record("engine"))]
    result = compare(pairs, rounds=2, warmup=1, iterations=3, progress=lambda: None)
    first, second = ["path", "engine"], ["engine", "path"]
    assert calls == 2 * [*first, *second, *first, *second]
    assert result.pairs == 6
    assert result.ratio.low <= result.ratio.median <= result.ratio.high


@pytest.mark.parametrize("other", [unit(2, 1), np.array([[np.nan, 1]], np.float32)])
def test_a_path_that_computes_something_else_has_no_ratio(other: np.ndarray) -> None:
    pairs = [Pair(lambda: unit(1, 2), lambda: other)]
    with pytest.raises(InferenceError, match="cannot be compared"):
        compare(pairs, rounds=1, warmup=0, iterations=1, progress=lambda: None)
