"""Fits how fast a quantity grows: Theil and Sen's slope with its 95 % interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True, slots=True)
class Slope:
    """Growth per hour.

    Attributes:
        per_hour: Median of the slopes of all pairs (Sen 1968), which outliers hardly move.
        low: Lower end of the 95 % interval (Sen 1968).
        high: Upper end of the 95 % interval.
    """

    per_hour: float
    low: float
    high: float


def slope(times_s: Sequence[float], values: Sequence[float], most: int = 1000) -> Slope:
    """Fit the slope of values over time.

    Args:
        times_s: Times of the values, seconds, ascending.
        values: Finite values.
        most: Most values that are used, evenly spaced: the cost is that of all pairs.

    Raises:
        ValueError: Fewer than three values.
    """
    if len(values) < 3:
        raise ValueError(f"expected at least three values, found {len(values)}")
    chosen = np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int)
    hours = np.asarray(times_s, np.float64)[chosen] / 3600
    found = stats.theilslopes(np.asarray(values, np.float64)[chosen], hours)
    return Slope(float(found.slope), float(found.low_slope), float(found.high_slope))
