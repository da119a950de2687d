"""Quantiles and paired ratios against plain arithmetic."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.measuring.statistics import medians, paired_ratio, quantiles, summary
from export.compare.rounds import RoundsSummary

TIMES = st.floats(1e-3, 1e3)
SAMPLES = st.lists(TIMES, min_size=1, max_size=30)


def plain_quantile(samples: list[float], percent: int) -> float:
    """Linear interpolation between the two nearest ranks, by hand."""
    ordered = sorted(samples)
    rank = (len(ordered) - 1) * percent / 100
    low, high = ordered[math.floor(rank)], ordered[math.ceil(rank)]
    return low + (high - low) * (rank - math.floor(rank))


@given(SAMPLES, st.lists(st.integers(0, 100), min_size=1, unique=True))
def test_quantiles_are_interpolated_linearly(samples: list[float], percents: list[int]) -> None:
    expected = {f"p{percent}": plain_quantile(samples, percent) for percent in percents}
    assert quantiles(samples, percents) == pytest.approx(expected)


def test_quantiles_of_known_samples() -> None:
    found = quantiles([4.0, 1.0, 3.0, 2.0], [0, 50, 90, 100])
    assert found == pytest.approx({"p0": 1.0, "p50": 2.5, "p90": 3.7, "p100": 4.0})


@given(SAMPLES)
def test_a_spread_is_the_median_and_both_ends(values: list[float]) -> None:
    expected = (plain_quantile(values, 50), min(values), max(values))
    found = summary(values)
    assert (found.median, found.low, found.high) == pytest.approx(expected)


@given(st.lists(st.tuples(SAMPLES, SAMPLES), min_size=1, max_size=8))
def test_ratios_are_taken_round_by_round(rounds: list[tuple[list[float], list[float]]]) -> None:
    ratios = [plain_quantile(a, 50) / plain_quantile(b, 50) for a, b in rounds]
    found = paired_ratio([a for a, _ in rounds], [b for _, b in rounds])
    expected = (plain_quantile(ratios, 50), min(ratios), max(ratios))
    assert (found.median, found.low, found.high) == pytest.approx(expected)


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=8))
def test_drift_that_hits_both_leaves_the_ratio_alone(drift: list[float]) -> None:
    slow = [[2 * factor, 3 * factor, 4 * factor] for factor in drift]
    fast = [[1 * factor, 2 * factor, 3 * factor] for factor in drift]
    found = paired_ratio(slow, fast)
    assert (found.median, found.low, found.high) == pytest.approx((1.5, 1.5, 1.5))


def test_drift_that_hits_one_shows_in_the_spread() -> None:
    assert paired_ratio([[2.0], [4.0], [2.0]], [[1.0], [1.0], [1.0]]) == RoundsSummary(
        2.0, 2.0, 4.0
    )


def test_the_median_of_each_round_is_its_own() -> None:
    assert medians([[1.0, 9.0, 2.0], [5.0, 7.0]]) == [2.0, 6.0]


@pytest.mark.parametrize(
    "call",
    [lambda: quantiles([], [50]), lambda: summary([]), lambda: paired_ratio([], [])],
)
def test_nothing_has_no_statistics(call: Any) -> None:
    with pytest.raises(ValueError, match="expected at least one"):
        call()


def test_rounds_must_pair() -> None:
    with pytest.raises(ValueError, match="shorter"):
        paired_ratio([[1.0], [1.0]], [[1.0]])
