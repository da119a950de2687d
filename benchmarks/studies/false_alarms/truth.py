"""Finds the alerts of a threshold on many samples at once, and how often they come in truth.

Letters in shapes: n samples.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.studies.false_alarms.makers import DAY, FPS
from benchmarks.studies.false_alarms.quick import QuickBaseline, statistics
from benchmarks.studies.false_alarms.streams import RECORDED, SPREAD, margins
from edge.alerts.events import Rule

# The true rates of a kind come from these days of so many other streams of it.
_SEEDS: Final = range(1_000, 1_005)
_DAYS: Final = (7, 28)
# Rates between which a level's true rate is known, and the number of levels.
_RATES: Final = (0.02, 60.0)
_LEVELS: Final = 24

_Values = NDArray[np.float64]


def alerts(values: _Values, statistic: _Values, level: float, rule: Rule) -> list[tuple[int, int]]:
    """Return the first and the last sample of each alert on values [n] at a constant level.

    Args:
        values: Margins, or margins above a baseline.
        statistic: Largest threshold at which each of them still alerts, float64 [n].
        level: Threshold.
        rule: The rest of the condition; its cooldown is 0.
    """
    hits = np.flatnonzero(statistic >= level)
    if not len(hits):
        return []
    apart = int(np.ceil(rule.off_after_s * FPS)) + 1
    holds = np.flatnonzero(values >= level - rule.hysteresis)
    # An alert ends with the last of so many samples that are all below.
    ends = holds[np.diff(np.append(holds, len(values) + 2 * apart)) > apart] + apart
    found, at = [], 0
    while at < len(hits):
        start = int(hits[at])
        end = int(ends[np.searchsorted(ends, start, side="right")])
        found.append((start, min(end, len(values) - 1)))
        at = int(np.searchsorted(hits, end, side="right"))
    return found


class Truth:
    """True rates: alarms per day at any level above the baseline, counted and interpolated.

    Args:
        values: Margins above the baseline, one array for each stretch of time.
        rule: Timing of the rule; its threshold does not matter.
        centre: Median of the margins themselves.
        spread: Their standard deviation around the baseline.

    Attributes:
        centre: As given.
        spread: As given.
    """

    def __init__(self, values: Sequence[_Values], rule: Rule, centre: float, spread: float) -> None:
        self.centre, self.spread = centre, spread
        watched = sum(len(value) for value in values) / DAY
        both = [(value, from_start(value, rule)) for value in values]
        highest = np.sort(np.concatenate([statistic for _, statistic in both]))[::-1]
        # An alarm takes several samples: these ranks cover more than the wanted rates.
        ranks = np.geomspace(_RATES[0] * watched + 1, 20 * _RATES[1] * watched, _LEVELS)
        self._levels = np.unique(highest[ranks.astype(int).clip(0, len(highest) - 1)])
        counts = [
            sum(len(alerts(*one, level, with_hysteresis(rule, level))) for one in both)
            for level in self._levels.tolist()
        ]
        # Higher levels alarm less often, but for chance.
        rising = np.maximum.accumulate(counts[::-1])[::-1]
        self._log_rates = np.log((rising + 0.5) / watched)

    def rate(self, level: float) -> float:
        """Return the alarms per day at ``level``."""
        return float(np.exp(np.interp(level, self._levels, self._log_rates)))

    def level(self, per_day: float) -> float:
        """Return the level with so many alarms per day."""
        found = np.interp(np.log(per_day), self._log_rates[::-1], self._levels[::-1])
        return float(found)


def true_rates(kind: str, rule: Rule) -> Truth:
    """Count on days of other streams of a kind, with the daemon's baseline.

    Args:
        kind: One of ``STREAMS``.
        rule: Timing of the rule.
    """
    parts = [_above_baseline(kind, seed) for seed in _SEEDS]
    values = [value for value, _ in parts]
    spread = float(np.std(values)) if kind in RECORDED else SPREAD
    return Truth(values, rule, float(np.median([centre for _, centre in parts])), spread)


def from_start(values: _Values, rule: Rule) -> _Values:
    """Return the statistics of values [n] with nothing before them, float64 [n]."""
    return statistics(np.concatenate([np.full(rule.on_of - 1, -np.inf), values]), rule)


def with_hysteresis(rule: Rule, level: float) -> Rule:
    """Return the rule with the hysteresis that the daemon gives it at a level above a baseline."""
    return replace(rule, hysteresis=min(rule.hysteresis, max(0.0, level / 2)))


def _above_baseline(kind: str, seed: int) -> tuple[_Values, float]:
    """Return the margins of some days above their baseline, and the median of the last day."""
    baseline, parts = QuickBaseline(), []
    for number, day in enumerate(islice(margins(kind, seed), _DAYS[1])):
        values = day - baseline.follow_day(day)
        if number >= _DAYS[0]:
            parts.append(values)
    return np.concatenate(parts), float(np.median(day))
