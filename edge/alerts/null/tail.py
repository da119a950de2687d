"""Fits the tail of peaks over a base level: two parameters, by maximum likelihood.

Peaks over a high level follow a generalized Pareto law in the limit (Pickands 1975; Balkema and de
Haan 1974). A Gaussian tail approaches that limit so slowly that the fit has a finite end point,
which the tail has not: extrapolated from the 99 % quantile to one alarm in ten days, it alarms 2.8
times too often (median; our measurement, benchmarks/studies/false_alarms). Therefore this module
has another law for light tails. With the cumulative hazard H, P(excess > z) = exp(-H(z / scale))::

    H(z) = z + bend z² / 2              bend >= 0: the hazard grows linearly, as a Gaussian's does
    H(z) = log(1 - bend z) / -bend      bend < 0: generalized Pareto with shape -bend

Both sides meet in the exponential law and agree there to the first order in ``bend``. A tail with a
true end point gets a threshold that is too high, never one that is too low.

Letters in shapes: n peaks.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

# Newton's method in (log scale, bend); it settles within five to ten steps.
_STEPS: Final = 30
_STEP: Final = 1e-3
_SETTLED: Final = 1e-4
# Bends that tails have: a Gaussian tail at one in a thousand 0.1, Student's t with four degrees
# -0.25. Some dozens of peaks alone would say little about it. This spread of a normal prior around
# the exponential law is worth some 25 peaks (penalised likelihood: Coles and Dixon 1999).
_BEND_SPREAD: Final = 0.2
_HEAVIEST: Final = -0.9  # a shape of 1 has no mean
_LIGHTEST: Final = 20.0


@dataclass(frozen=True, slots=True, eq=False)
class Tail:
    """A fitted tail.

    Attributes:
        scale: Mean excess of an exponential tail, in units of the margin.
        bend: Shape, without unit; above 0 lighter than exponential, below 0 heavier.
        covariance: Covariance of (log scale, bend), float64 [2, 2], from the curvature of the
            likelihood.
    """

    scale: float
    bend: float
    covariance: NDArray[np.float64]

    def hazards(self, excesses: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return H: minus the logarithm of the chance that a peak exceeds each of ``excesses``."""
        return _hazard(excesses / self.scale, self.bend)

    def excesses(self, hazards: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the excesses that a peak passes with chance exp(-hazard), float64 [n]."""
        if abs(self.bend) < 1e-9:
            return self.scale * hazards
        if self.bend > 0:
            return self.scale * (np.sqrt(1 + 2 * self.bend * hazards) - 1) / self.bend
        with np.errstate(over="ignore"):
            return self.scale * np.expm1(-self.bend * hazards) / -self.bend

    def deviations(self, excesses: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the standard deviations of the hazards at ``excesses``, by the delta method."""

        def at(log_scale: float, bend: float) -> NDArray[np.float64]:
            return _hazard(excesses * math.exp(-log_scale), bend)

        centre = math.log(self.scale)
        slope = np.stack(
            [
                at(centre + _STEP, self.bend) - at(centre - _STEP, self.bend),
                at(centre, self.bend + _STEP) - at(centre, self.bend - _STEP),
            ]
        ) / (2 * _STEP)
        variances = ((self.covariance @ slope) * slope).sum(axis=0)
        return np.asarray(np.sqrt(np.maximum(0.0, variances)))


def fit(
    excesses: NDArray[np.float64],
    limits: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> Tail | None:
    """Fit a tail to peaks from which those above a limit are missing.

    A peak above the threshold in force became an alert, and nobody knows whether the alert was
    false. If such peaks were only left out, the tail would look shorter than it is, the next
    threshold would be lower, and so on. Therefore each peak counts by its density among the peaks
    below its limit.

    Args:
        excesses: Peaks over the base level, float64 [n], at least 0.
        limits: Thresholds in force at that time, over the base level, float64 [n]; infinity for
            none.
        weights: Weights of the peaks, float64 [n], above 0.

    Returns:
        The tail; None where the peaks are all alike, or the likelihood has no maximum.
    """
    mean = float(np.average(excesses, weights=weights))
    if mean <= 0 or float(excesses.max()) <= 0:
        return None
    z, limit = excesses / mean, limits / mean
    # Weighted peaks are worth less than their number: sum w² instead of sum w (Kish 1965).
    thinned = float((weights**2).sum() / weights.sum())

    def loss(log_scale: float, bend: float) -> float:
        if not _HEAVIEST < bend < _LIGHTEST:
            return math.inf
        shrink = math.exp(-log_scale)
        scaled = z * shrink
        terms = _hazard(scaled, bend) - _log_rate(scaled, bend) + log_scale
        # log P(below the limit); exactly 0 where there is no limit.
        terms += np.log(-np.expm1(-_hazard(limit * shrink, bend)))
        return float(weights @ terms) + thinned * (bend / _BEND_SPREAD) ** 2 / 2

    place = np.array([0.0, 0.05])
    value = loss(*place)
    for _ in range(_STEPS):
        gradient, curvature = _derivatives(loss, place, value)
        if gradient is None or curvature is None:
            return None
        step = _descent(gradient, curvature)
        while (moved := loss(*(place - step))) > value and np.abs(step).max() > _SETTLED:
            step /= 2
        if moved > value or np.abs(step).max() <= _SETTLED:
            break
        place, value = place - step, moved
    _, curvature = _derivatives(loss, place, value)
    if curvature is None or np.linalg.eigvalsh(curvature).min() <= 0:
        return None
    return Tail(
        mean * math.exp(place[0]),
        float(place[1]),
        np.asarray(np.linalg.inv(curvature) * thinned, np.float64),
    )


def _hazard(z: NDArray[np.float64], bend: float) -> NDArray[np.float64]:
    if bend >= 0:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(z + bend * z * z / 2)
    return np.asarray(np.log1p(-bend * z) / -bend)


def _log_rate(z: NDArray[np.float64], bend: float) -> NDArray[np.float64]:
    """Return the logarithm of the derivative of ``_hazard``."""
    return np.asarray(np.log1p(bend * z) if bend >= 0 else -np.log1p(-bend * z))


def _descent(gradient: NDArray[np.float64], curvature: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Newton's step where the loss is convex, otherwise a step down the slope."""
    lowest = float(np.linalg.eigvalsh(curvature).min())
    if lowest <= 1e-8:
        curvature = curvature + (1e-3 * np.abs(curvature).max() - lowest) * np.eye(2)
    return np.asarray(np.clip(np.linalg.solve(curvature, gradient), -1.0, 1.0))


def _derivatives(
    loss: Callable[[float, float], float], place: NDArray[np.float64], value: float
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Return gradient and curvature by central differences; None at the edge of the allowed."""
    x, y = place
    h = _STEP
    right, left, up, down = loss(x + h, y), loss(x - h, y), loss(x, y + h), loss(x, y - h)
    corners = loss(x + h, y + h), loss(x + h, y - h), loss(x - h, y + h), loss(x - h, y - h)
    with np.errstate(invalid="ignore"):  # infinite at the edge of the allowed
        gradient = np.array([right - left, up - down]) / (2 * h)
        mixed = (corners[0] - corners[1] - corners[2] + corners[3]) / 4
        twice = [right - 2 * value + left, up - 2 * value + down]
        curvature = np.array([[twice[0], mixed], [mixed, twice[1]]]) / h**2
    if not (np.isfinite(gradient).all() and np.isfinite(curvature).all()):
        return None, None
    return gradient, curvature
