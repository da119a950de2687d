"""Fits a rule's weights and threshold to shots. Pure.

The weights are convex. They come from a logistic regression on the margins, which is drawn towards
equal weights by their relative entropy::

    mean logistic loss of (margin - threshold) / tau  +  (shrink / events) * KL(weights || equal)

The samples of one event are alike, so the evidence is counted in events, not in samples.

Letters in shapes: M samples (shots), S texts, T templates, N negatives, B background sentences,
D embedding, n sentences of one side.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.rules.blend import Floats, Rows, Weights, blend, margins
from edge.rules.shots import Shots

# How strongly few events are held to equal weights. Measured on planted shots of 2 to 10 events:
# 0.1 to 1 do equally well, and at 0 two events are learned by heart
# (tests/edge/rules/test_sharpen.py).
SHRINK: Final = 0.3
# Both fits settle within a few dozen steps.
_STEPS: Final = 200
_SETTLED: Final = 1e-9
# The noise of a margin is taken as half the standard deviation of all shots, and as at least this.
_LEAST_TAU: Final = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Sharpened:
    """A rule's new settings.

    Attributes:
        weights: Weights of its sentences; None leaves the sentences as they are.
        threshold: Threshold on the margin.
        hysteresis: Half the way back to ordinary margins. An alert ends there, as it also does
            where thresholds are learned (``edge.alerts.null``).
    """

    weights: Weights | None
    threshold: float
    hysteresis: float = 0.0


def fit_threshold(values: NDArray[np.float64], shots: Shots, threshold: float) -> float:
    """Find the threshold between wanted margins and others that makes the loss least.

    Args:
        values: float64 [M]: margin of each shot.
        shots: Examples.
        threshold: Threshold of the rule as it is.
    """
    problem = _Problem(shots, threshold, values)
    place = threshold
    for _ in range(_STEPS):  # Newton's method in one variable: the loss is convex
        slope, bend = problem.of_threshold(values, place)
        step = float(np.clip(slope / bend, -problem.tau, problem.tau))
        place -= step
        if abs(step) < _SETTLED:
            break
    return place


def fit_weights(rows: Rows, shots: Shots, threshold: float, shrink: float = SHRINK) -> Sharpened:
    """Find the weights and the threshold that separate the wanted shots from the others.

    The method is exponentiated gradients (Kivinen and Warmuth 1997), which keep weights convex.
    Each step is halved until the loss falls.

    Args:
        rows: Rows of the rule.
        shots: Examples.
        threshold: Threshold of the rule as it is.
        shrink: How strongly weights are held to equal ones; 0 trusts the shots alone.
    """
    weights = Weights.equal(rows)
    problem = _Problem(shots, threshold, margins(rows, shots.embeddings, weights))
    held = shrink / max(1, len(np.unique(shots.groups)))
    texts = _Side(rows.texts, shots.embeddings)
    negatives = _Side(rows.negatives, shots.embeddings)
    background = (shots.embeddings @ rows.background.T).max(axis=1, initial=-np.inf)

    def loss(at: Weights, limit: float) -> float:
        values = margins(rows, shots.embeddings, at)
        return problem.loss(values, limit) + held * sum(
            _relative_entropy(own) for own in (at.texts, at.templates, at.negatives)
        )

    limit = fit_threshold(margins(rows, shots.embeddings, weights), shots, threshold)
    value, rate = loss(weights, limit), 1.0
    for _ in range(_STEPS):
        values = margins(rows, shots.embeddings, weights)
        pull = problem.pull(values, limit)
        up_texts, up_templates = texts.slopes(weights.texts, weights.templates, pull)
        down, down_templates = 0 * weights.negatives, 0 * weights.templates
        if len(weights.negatives):
            own = shots.embeddings @ blend(rows.negatives, weights.negatives, weights.templates)
            down, down_templates = negatives.slopes(
                weights.negatives, weights.templates, np.where(own >= background, pull, 0.0)
            )
        moved = Weights(
            _step(weights.texts, up_texts, held, rate),
            _step(weights.templates, up_templates - down_templates, held, rate),
            _step(weights.negatives, -down, held, rate),
        )
        moved_limit = fit_threshold(margins(rows, shots.embeddings, moved), shots, threshold)
        found = loss(moved, moved_limit)
        if found >= value - _SETTLED:
            rate /= 2
            if rate < 1e-4:
                break
            continue
        weights, limit, value, rate = moved, moved_limit, found, rate * 1.5
    return Sharpened(weights, limit)


class _Problem:
    """The loss, in which both sides weigh the same, and the groups of a side weigh the same."""

    def __init__(self, shots: Shots, threshold: float, values: NDArray[np.float64]) -> None:
        self._sign = np.where(shots.wanted, 1.0, -1.0)
        self._share = np.zeros(len(self._sign))
        for side in (shots.wanted, ~shots.wanted):
            present = np.unique(shots.groups[side])
            for group in present:
                own = side & (shots.groups == group)
                self._share[own] = 0.5 / len(present) / own.sum()
        self._events = max(1, len(np.unique(shots.groups)))
        self._threshold = threshold
        self.tau = max(_LEAST_TAU, float(values.std()) / 2)

    def loss(self, values: NDArray[np.float64], limit: float) -> float:
        z = self._sign * (values - limit) / self.tau
        return float(self._share @ np.logaddexp(0, -z)) + self._away(limit) ** 2 / 2

    def pull(self, values: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
        """Return minus the derivative of the loss by each margin, [M]."""
        z = self._sign * (values - limit) / self.tau
        return np.asarray(self._share * self._sign * _sigmoid(-z) / self.tau)

    def of_threshold(self, values: NDArray[np.float64], limit: float) -> tuple[float, float]:
        """Return the first and second derivative of the loss by the threshold."""
        z = self._sign * (values - limit) / self.tau
        prior = self._weak / self.tau**2
        slope = float((self._share * self._sign * _sigmoid(-z)).sum()) / self.tau
        bend = float((self._share * _sigmoid(z) * _sigmoid(-z)).sum()) / self.tau**2
        return slope + prior * (limit - self._threshold), bend + prior

    @property
    def _weak(self) -> float:
        """Weight of the prior that holds the threshold near its old value."""
        return 0.01 / self._events

    def _away(self, limit: float) -> float:
        return float(np.sqrt(self._weak) * (limit - self._threshold) / self.tau)


class _Side:
    """Derivatives of the cosines to a blended row by its weights."""

    def __init__(self, sentences: NDArray[np.float32], embeddings: NDArray[np.float32]) -> None:
        count, templates, dim = sentences.shape
        flat = sentences.reshape(count * templates, dim).astype(np.float64)
        self._shape = count, templates
        self._cosines = embeddings @ flat.T  # [M, n * T]
        self._gram = flat @ flat.T

    def slopes(
        self, weights: Floats, templates: Floats, pull: NDArray[np.float64]
    ) -> tuple[Floats, Floats]:
        """Return slopes by weights [n] and templates [T], where ``pull`` [M] pulls the cosines."""
        cell = np.outer(weights, templates).ravel()
        leaning = self._gram @ cell
        square = float(cell @ leaning)
        cosines = self._cosines @ cell / np.sqrt(square)
        slope = (pull @ self._cosines) / np.sqrt(square) - (pull @ cosines) * leaning / square
        grid = slope.reshape(self._shape)
        return grid @ templates, weights @ grid


def _step(weights: Floats, slope: Floats, held: float, rate: float) -> Floats:
    """Take one exponentiated step uphill along ``slope``, drawn towards equal weights."""
    if len(weights) < 2:
        return weights
    wide = np.log(np.maximum(weights, 1e-12))
    moved = wide + rate * (slope - held * (wide - wide.mean()))
    moved = np.exp(moved - moved.max())
    return np.asarray(moved / moved.sum())


def _relative_entropy(weights: Floats) -> float:
    """Return KL(weights || equal), at least 0."""
    if len(weights) < 2:
        return 0.0
    return float((weights * np.log(np.maximum(weights, 1e-300) * len(weights))).sum())


def _sigmoid(z: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-np.clip(z, -700, 700))))
