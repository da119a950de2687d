"""Computes quantiles, and ratios of times that are measured in turns. Pure.

The speed of a shared machine drifts with its clock and its other work. So two things to compare run
in turns, A B A B, and A is divided by the B of the same round. The range of these ratios over the
rounds shows how reliable the comparison is.
"""

from collections.abc import Sequence

import numpy as np

from export.compare.rounds import RoundsSummary, summarize

Rounds = Sequence[Sequence[float]]
"""Samples of each round."""


def quantiles(samples: Sequence[float], percents: Sequence[int]) -> dict[str, float]:
    """Return ``{"p50": ..., ...}``, interpolated linearly between two samples.

    Raises:
        ValueError: There are no samples.
    """
    if not len(samples):
        raise ValueError("expected at least one sample, found none")
    values = np.percentile(np.asarray(samples, np.float64), percents)
    return {f"p{percent}": float(value) for percent, value in zip(percents, values, strict=True)}


def summary(values: Sequence[float]) -> RoundsSummary:
    """Return the median, the lowest and the highest of ``values``.

    Raises:
        ValueError: There are no values.
    """
    if not len(values):
        raise ValueError("expected at least one value, found none")
    return summarize(values)


def medians(rounds: Rounds) -> list[float]:
    """Return the median of each round."""
    return [summary(samples).median for samples in rounds]


def paired_ratio(above: Rounds, below: Rounds) -> RoundsSummary:
    """Divide the median of each round of ``above`` by that of the same round of ``below``.

    Raises:
        ValueError: The numbers of rounds differ, or there are none.
    """
    return summary([a / b for a, b in zip(medians(above), medians(below), strict=True)])
