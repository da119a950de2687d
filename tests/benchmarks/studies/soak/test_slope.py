"""The slope of a soak: a leak is found among outliers, noise is none."""

import numpy as np
import pytest

from benchmarks.studies.soak.slope import floor, slope

TIMES = np.arange(0, 3600, 2.0)


def test_a_leak_is_found_among_outliers() -> None:
    rng = np.random.default_rng(0)
    values = 300 + 5 * TIMES / 3600 + rng.normal(0, 0.5, len(TIMES))
    values[::50] += 100
    found = slope(TIMES.tolist(), values.tolist())
    assert found.low < 5 < found.high
    assert found.per_hour == pytest.approx(5, abs=0.3)
    assert found.low > 1


def test_noise_is_no_leak() -> None:
    values = 300 + np.random.default_rng(1).normal(0, 0.5, len(TIMES))
    found = slope(TIMES.tolist(), values.tolist())
    assert found.low < 0.1
    assert found.high > -0.1


def borrowed() -> np.ndarray:
    """Memory that is taken and given back, with minutes between."""
    rng = np.random.default_rng(2)
    return np.repeat(rng.exponential(4, 60), 30) * (np.arange(len(TIMES)) % 30 > 5)


def test_what_is_given_back_is_no_leak() -> None:
    found = slope(*floor(TIMES.tolist(), (300 + borrowed()).tolist()))
    assert found.low <= 0 <= found.high
    assert abs(found.per_hour) < 0.5


def test_a_leak_beneath_what_is_given_back_is_found() -> None:
    found = slope(*floor(TIMES.tolist(), (300 + 3 * TIMES / 3600 + borrowed()).tolist()))
    assert found.low > 1
    assert found.per_hour == pytest.approx(3, abs=0.5)


def test_the_floor_is_the_lowest_of_each_whole_block() -> None:
    times, lowest = floor([0, 1, 2, 3, 4], [5, 4, 7, 6, 1], block_s=2)
    assert times == [1, 3]
    assert lowest == [4, 6]


def test_two_values_have_no_slope() -> None:
    with pytest.raises(ValueError, match="at least three"):
        slope([0, 1], [1, 2])
