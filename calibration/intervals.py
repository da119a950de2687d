"""Computes the confidence interval of a share. Pure."""

import math
from typing import Final

# Two-sided 95 % of the normal distribution.
_Z: Final = 1.959964


def wilson_interval(share: float, trials: float) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson, 1927).

    It holds for few trials and for shares near 0 and 1, where the textbook's interval does not. It
    takes trials for independent, which frames of one video are not: for those it is too narrow.

    Args:
        share: Successes per trial, 0..1.
        trials: Independent trials, more than 0; a fraction where trials were repeated.

    Returns:
        Lower and upper end, 0..1.
    """
    centre = (share + _Z**2 / (2 * trials)) / (1 + _Z**2 / trials)
    spread = math.sqrt(share * (1 - share) / trials + _Z**2 / (4 * trials**2))
    half = _Z / (1 + _Z**2 / trials) * spread
    # At shares of 0 and 1 an end is exactly there, but for rounding.
    low = 0.0 if share == 0 else centre - half
    high = 1.0 if share == 1 else centre + half
    return low, high
