"""Quantiles, and ratios of things measured in turns. Pure.

A shared machine drifts: its clock, its neighbours. So what is to be compared runs in turns,
A B A B, and A is divided by the B of the same round; how much these quotients differ from round to
round says what the comparison is worth.
"""

from collections.abc import Sequence

import numpy as np

from export.compare.rounds import Spread, spread_of

Rounds = Sequence[Sequence[float]]
"""Samples by round."""


def quantiles(samples: Sequence[float], percents: Sequence[int]) -> dict[str, float]:
    """Return ``{"p50": ..., ...}``; between two samples it is interpolated linearly.

    Raises:
        ValueError: No samples.
    """
    if not len(samples):
        raise ValueError("expected at least one sample, found none")
    values = np.percentile(np.asarray(samples, np.float64), percents)
    return {f"p{percent}": float(value) for percent, value in zip(percents, values, strict=True)}


def spread(values: Sequence[float]) -> Spread:
    """Return the median of ``values`` and how far they reach.

    Raises:
        ValueError: No values.
    """
    if not len(values):
        raise ValueError("expected at least one value, found none")
    return spread_of(values)


def medians(rounds: Rounds) -> list[float]:
    """Return the median of each round."""
    return [spread(samples).median for samples in rounds]


def paired_ratio(above: Rounds, below: Rounds) -> Spread:
    """Divide the median of each round of ``above`` by that of the same round of ``below``.

    Raises:
        ValueError: Different numbers of rounds, or none.
    """
    return spread([a / b for a, b in zip(medians(above), medians(below), strict=True)])
