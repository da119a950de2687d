"""The tail of peaks against distributions that are known."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from present import present
from scipy import stats

from edge.alerts.null.tail import Tail, fit


def fitted(excesses: Any, limits: NDArray[np.float64] | None = None) -> Tail:
    excesses = np.asarray(excesses, np.float64)
    limits = np.full(len(excesses), np.inf) if limits is None else limits
    return present(fit(excesses, limits, np.ones(len(excesses))))


def beyond(tail: Tail, hazard: float) -> float:
    return float(tail.excesses(np.array([hazard]))[0])


def excesses_of(
    distribution: Any, share: float, count: int, seed: int = 0
) -> tuple[NDArray[np.float64], np.float64]:
    """Peaks over the level that ``share`` of all samples pass, and that level."""
    rng = np.random.default_rng(seed)
    level = distribution.isf(share)
    return distribution.isf(share * rng.random(count)) - level, level


def test_an_exponential_tail_is_straight() -> None:
    tail = fitted(np.random.default_rng(0).exponential(0.03, 4000))
    assert tail.scale == pytest.approx(0.03, rel=0.06)
    assert abs(tail.bend) < 3 * tail.covariance[1, 1] ** 0.5


@pytest.mark.parametrize("shape", [0.2, 0.5])
def test_a_heavy_tail_is_the_one_that_scipy_fits(shape: float) -> None:
    excesses = stats.genpareto(shape, scale=0.02).rvs(3000, random_state=1)
    expected_shape, _, expected_scale = stats.genpareto.fit(excesses, floc=0)
    tail = fitted(excesses)
    assert -tail.bend == pytest.approx(expected_shape, abs=0.01)
    assert tail.scale == pytest.approx(expected_scale, rel=0.02)


def test_a_gaussian_tail_is_extrapolated_to_a_ten_thousandth_of_what_was_seen() -> None:
    rates = {}
    for name, distribution in {"Gaussian": stats.norm(), "exponential": stats.expon()}.items():
        excesses, level = excesses_of(distribution, 0.01, 12_000)
        threshold = level + beyond(fitted(excesses), np.log(1e4))
        rates[name] = distribution.sf(threshold) / 1e-6
    assert rates["Gaussian"] == pytest.approx(1, rel=0.5)
    assert rates["exponential"] == pytest.approx(1, rel=0.5)


def test_the_textbook_s_tail_falls_short_on_the_gaussian_one() -> None:
    """The negative control: why the light side is not a generalized Pareto."""
    ratios: dict[str, list[float]] = {"Pareto": [], "ours": []}
    for seed in range(8):
        excesses, level = excesses_of(stats.norm(), 0.01, 12_000, seed)
        shape, _, scale = stats.genpareto.fit(excesses, floc=0)
        textbook = level + stats.genpareto(shape, scale=scale).isf(1e-4)
        ours = level + beyond(fitted(excesses), np.log(1e4))
        ratios["Pareto"].append(stats.norm.sf(textbook) / 1e-6)
        ratios["ours"].append(stats.norm.sf(ours) / 1e-6)
    assert np.median(ratios["Pareto"]) > 1.3
    assert np.median(ratios["ours"]) == pytest.approx(1, abs=0.25)


def test_peaks_that_became_alerts_are_missed_and_allowed_for() -> None:
    excesses, _ = excesses_of(stats.norm(), 0.01, 20_000)
    limit = np.quantile(excesses, 0.9)
    kept = excesses[excesses < limit]
    whole = fitted(excesses)
    told = fitted(kept, np.full(len(kept), limit))
    silent = fitted(kept)  # the negative control: nobody told it
    level = beyond(whole, np.log(1000))
    hazards = [float(tail.hazards(np.array([level]))[0]) for tail in (whole, told, silent)]
    assert hazards[0] == pytest.approx(np.log(1000))
    assert hazards[1] == pytest.approx(np.log(1000), rel=0.2)
    assert hazards[2] > 1.5 * np.log(1000)


@given(st.floats(0.001, 12), st.sampled_from([0, 1, 2]))
def test_the_excess_is_the_inverse_of_the_hazard(hazard: float, which: int) -> None:
    rng = np.random.default_rng(3)
    samples = [np.abs(rng.normal(size=500)), rng.exponential(size=500), rng.pareto(3, 500)][which]
    tail = fitted(samples)
    assert float(tail.hazards(np.array([beyond(tail, hazard)]))[0]) == pytest.approx(hazard)


def test_the_deviation_is_the_spread_of_many_fits() -> None:
    level, hazards, deviations = 5.0, [], []
    for seed in range(60):
        tail = fitted(np.random.default_rng(seed).exponential(1.0, 1000))
        hazards.append(float(tail.hazards(np.array([level]))[0]))
        deviations.append(float(tail.deviations(np.array([level]))[0]))
    assert np.mean(deviations) == pytest.approx(np.std(hazards), rel=0.25)


@pytest.mark.parametrize("excesses", [[0.0] * 200, [0.0] * 199 + [1e-30]])
def test_peaks_that_are_all_alike_say_nothing(excesses: list[float]) -> None:
    peaks, limits, weights = np.array(excesses), np.full(200, np.inf), np.ones(200)
    tail = fit(peaks, limits, weights)
    assert tail is None or np.isfinite(beyond(tail, 5.0))
    assert fit(np.zeros(200), limits, weights) is None
