"""Thresholds that follow ordinary margins, on numbers that can be counted by hand."""

from typing import Any

import numpy as np
import pytest

from benchmarks.studies.decisions.methods import by_baseline, by_tail


@pytest.mark.parametrize(("times", "plus"), [(1.0, 0.0), (0.5, 0.0), (1.0, -0.2), (1.7, 0.3)])
def test_a_threshold_is_learned_where_margins_are_moved_and_stretched(
    times: Any, plus: Any
) -> None:
    ordinary = np.random.default_rng(1).normal(-0.1, 0.05, 60)
    found = by_tail(times * ordinary + plus, ordinary, 0.02)
    assert found == pytest.approx(times * 0.02 + plus, abs=1e-3)


def test_a_threshold_below_ordinary_margins_moves_with_them() -> None:
    ordinary = np.random.default_rng(1).normal(0.3, 0.05, 60)
    assert by_tail(ordinary + 0.1, ordinary, 0.02) == pytest.approx(0.12)


def test_few_ordinary_samples_say_nothing() -> None:
    assert by_tail(np.zeros(5), np.ones(60), 0.02) == 0.02
    assert by_baseline(np.zeros(5), np.ones(60), 0.02) == 0.02


def test_a_baseline_moves_the_threshold_as_far_as_ordinary_margins_move() -> None:
    ordinary = np.random.default_rng(1).normal(-0.1, 0.05, 60)
    assert by_baseline(ordinary - 0.2, ordinary, 0.02) == pytest.approx(-0.18)
