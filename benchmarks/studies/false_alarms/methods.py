"""Learns thresholds for an allowed number of false alarms per day, with four methods."""

import math
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.studies.false_alarms.streams import CENTRE, DAY, FPS, SPREAD, is_night, margins
from edge.alerts.events import Rule
from edge.alerts.null import AlarmTail

ASKED: Final = ((10.0, 1), (1.0, 7), (0.1, 7))
"""Pairs of the allowed false alarms per day and the days of warm-up."""
METHODS: Final = ("ours", "Pareto (PWM)", "running z-score", "fixed")


@dataclass(frozen=True, slots=True)
class LearnedThreshold:
    """Threshold of one run.

    Attributes:
        method: One of ``METHODS``.
        asked: Allowed false alarms per day.
        days: Days of warm-up.
        level: Margin above the baseline for our method, absolute margin for the others.
        low: Lower bound of the true rate relative to the allowed one, for our method only.
        high: Upper bound of that ratio.
    """

    method: str
    asked: float
    days: int
    level: float
    low: float = math.nan
    high: float = math.nan


def learn(kind: str, rule: Rule, seed: int) -> list[LearnedThreshold]:
    """Learn the thresholds of one run with every method."""
    rng = np.random.default_rng([seed, 77])
    found = []
    tails = [AlarmTail(rule)] * 2 if kind != "day and night" else [AlarmTail(rule), AlarmTail(rule)]
    seen: list[NDArray[np.float64]] = []
    position = 0
    for day in islice(margins(kind, seed), max(days for _, days in ASKED)):
        seen.append(day)
        for margin in day.tolist():
            tails[is_night(position)].observe(margin, position / FPS, alerting=False)
            position += 1
        past = np.concatenate(seen)
        for asked, days in ASKED:
            if days == len(seen):
                if (estimate := tails[0].estimate(asked)) is not None:
                    low, high = estimate.low / asked, estimate.high / asked
                    found.append(LearnedThreshold("ours", asked, days, estimate.level, low, high))
                found += [
                    LearnedThreshold("Pareto (PWM)", asked, days, _pareto(past, asked)),
                    LearnedThreshold("running z-score", asked, days, _z_score(past, asked)),
                    LearnedThreshold("fixed", asked, days, _fixed(rng, asked)),
                ]
    return found


def _pareto(past: NDArray[np.float64], asked: float) -> float:
    """Return the threshold of a generalized Pareto tail (Hosking and Wallis 1987)."""
    base = np.quantile(past, 0.99)
    z = np.sort(past[past > base] - base)
    place = (np.arange(len(z)) + 0.65) / len(z)
    mean, weighted = z.mean(), (z * (1 - place)).mean()
    shape = 2 - mean / (mean - 2 * weighted)
    scale = 2 * mean * weighted / (mean - 2 * weighted)
    share = asked / (0.01 * DAY)
    return float(base + scale * (share**-shape - 1) / shape)


def _z_score(past: NDArray[np.float64], asked: float) -> float:
    return float(past.mean() + stats.norm.isf(asked / DAY) * past.std())


def _fixed(rng: np.random.Generator, asked: float) -> float:
    """Return a threshold that is right for a Gaussian camera with another mean and spread.

    The means of cameras differ by one spread, their spreads by a quarter (assumed).
    """
    spread = SPREAD * math.exp(0.25 * rng.normal())
    return float(CENTRE + SPREAD * rng.normal() + spread * stats.norm.isf(asked / DAY))
