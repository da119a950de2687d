"""A bounded memory of a stream."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.alerts.null.reservoir import SIZE, Reservoir


@pytest.mark.parametrize("length", [1, 500, SIZE, 5000, 200_000])
def test_quantiles_are_those_of_what_it_spans(length: int) -> None:
    values = np.random.default_rng(0).normal(size=length)
    reservoir = Reservoir(16)
    for value in values:
        reservoir.add(float(value))
    spanned = values[-16 * SIZE :]
    for share in (0.1, 0.5, 0.98):
        uncertain = 4 * np.sqrt(share * (1 - share) / len(reservoir))
        below = np.mean(spanned <= reservoir.quantile(share) + 1e-6)
        assert below == pytest.approx(share, abs=uncertain + 1 / length)


def test_what_is_long_ago_is_forgotten() -> None:
    reservoir = Reservoir(4)
    for value in [5.0] * 50_000 + [0.0] * (4 * SIZE):
        reservoir.add(value)
    assert reservoir.quantile(0.999) == 0.0


@given(st.integers(0, 20_000))
def test_it_goes_on_from_its_state_as_if_nothing_had_been(length: int) -> None:
    values = np.random.default_rng(length).normal(size=length + 3000)
    whole, half = Reservoir(8), Reservoir(8)
    for value in values[:length]:
        whole.add(float(value))
        half.add(float(value))
    again = Reservoir(8)
    again.restore(half.state())
    for value in values[length:]:
        assert whole.add(float(value)) == again.add(float(value))
    assert whole.state().tolist() == again.state().tolist()


@pytest.mark.parametrize(
    "state",
    [[], [3, 0, 0, 0], [1, 2, 0, 0, 1.0], [1, 1, 0, 0, np.nan], [1, 0, -1, 0], [64, 0, 0, 0]],
)
def test_a_state_that_cannot_be_is_refused(state: list[Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Reservoir(8).restore(np.array(state, np.float32))
