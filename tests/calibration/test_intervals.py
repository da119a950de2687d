"""The interval of a share against another implementation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from calibration.intervals import wilson_interval


@given(st.integers(1, 200), st.data())
def test_the_interval_of_a_share_is_wilsons(trials: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, trials))
    reference = binomtest(count, trials).proportion_ci(0.95, method="wilson")
    low, high = wilson_interval(count / trials, trials)
    assert low == pytest.approx(reference.low, abs=1e-6)
    assert high == pytest.approx(reference.high, abs=1e-6)
