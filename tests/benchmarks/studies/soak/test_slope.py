"""The slope of a soak: a leak is found among outliers, noise is none."""

import numpy as np
import pytest

from benchmarks.studies.soak.slope import slope

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


def test_two_values_have_no_slope() -> None:
    with pytest.raises(ValueError, match="at least three"):
        slope([0, 1], [1, 2])
