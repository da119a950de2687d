"""Fits how fast a quantity grows: Theil and Sen's slope of its floor, with the 95 % interval."""

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


def floor(
    times_s: Sequence[float], values: Sequence[float], block_s: float = 120.0
) -> tuple[list[float], list[float]]:
    """Return the lowest value of each whole block of time, and the time of the block's middle.

    What leaks raises the floor; what is taken and given back does not. It stays for minutes, so the
    samples hang together, while Sen's interval is for independent ones: of the samples themselves
    it would be far too narrow.

    Args:
        times_s: Times of the values, seconds, ascending.
        values: Finite values.
        block_s: Length of a block, seconds.
    """
    lowest = dict[int, float]()
    for at_s, value in zip(times_s, values, strict=True):
        block = int((at_s - times_s[0]) // block_s)
        lowest[block] = min(value, lowest.get(block, value))
    whole = sorted(lowest)[:-1]
    middles = [times_s[0] + (block + 0.5) * block_s for block in whole]
    return middles, [lowest[block] for block in whole]


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
