"""Ranges that keep the 16-bit sums of a CPU without VNNI from overflowing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from export.quantize.weight_ranges import channel_ranges

WEIGHTS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 7), st.integers(1, 3)),
    elements=st.floats(-4, 4, width=16),
)


def worst_pair(quantized: np.ndarray) -> int:
    """The largest magnitude of a 16-bit sum, over all pairs and all unsigned bytes."""
    padded = np.pad(quantized, ((0, 0), (0, quantized.shape[1] % 2), (0, 0)))
    worst = 0
    for left, right in zip(padded[:, 0::2].ravel(), padded[:, 1::2].ravel(), strict=True):
        for a in (0, 255):
            for b in (0, 255):
                worst = max(worst, abs(a * int(left) + b * int(right)))
    return worst


@given(WEIGHTS)
def test_no_two_neighbours_overflow_and_no_weight_is_cut(weight: NDArray[np.float32]) -> None:
    ranges = channel_ranges(weight)
    assert (np.abs(weight).reshape(len(weight), -1).max(axis=1) <= ranges).all()
    scale = np.maximum(ranges, 1e-12)[:, None, None] / 127
    assert worst_pair(np.round(weight / scale)) < 2**15


def test_the_largest_weight_alone_would_overflow() -> None:
    weight = np.ones((1, 2, 1), np.float32)
    assert worst_pair(np.round(weight * 127)) > 2**15
    assert channel_ranges(weight).tolist() == [2]


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        ([[1.0, -1.0]], 1.0),  # they cancel
        ([[1.0, 0.25]], 1.25),
        ([[-1.0, -0.5, 0.0, -1.25]], 1.5),
        ([[0.5, 0.25, 1.0]], 1.0),  # the last one has no neighbour
    ],
)
def test_only_neighbours_of_one_sign_widen_a_range(
    weight: list[list[float]], expected: float
) -> None:
    assert channel_ranges(np.array(weight, np.float32)[..., None]).tolist() == [expected]
