"""Finds the level that ordinary frames reach as often as was asked for, from the peaks.

What was seen answers where something was seen, and the tail answers beyond:

1. **The cut.** Passing things and noise mix in the peaks, and no law of two parameters fits a
   mixture. The limit law holds for the highest peaks alone (Pickands 1975; on their choice:
   Scarrott and MacDonald 2012). So the tail begins above all but some hundred peaks, eight for
   each alarm that was asked for, and the answer lies within the data, or little beyond. Where the
   law does not fit these peaks (Anderson and Darling's test; Choulakian and Stephens 2001; as a
   rule for the cut: Bader, Yan and Zhang 2018), the tail begins higher, until it fits or begins
   just below the answer.
2. **The tail** over the cut is fitted to the peaks that are sure to be ordinary. It knows that
   those above the threshold in force are missing.
3. **The count** of all clusters, alerts included, bounds the answer from both sides. Alarms cannot
   be more frequent than what was counted; and a level that was passed much more often than was
   asked for is too low, unless that many real events came: there may be one a day.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.alerts.null.peaks import DAY_S, Peaks
from edge.alerts.null.tail import Tail, fit

# Peaks over the cut, and for each alarm that was asked for: at first, and at least.
_PEAKS: Final = (96.0, 32.0)
_PEAKS_PER_ALARM: Final = (8.0, 1.05)
# The next cut has so many of them.
_HIGHER: Final = 0.7
_FEWEST_PEAKS: Final = 60
# Anderson and Darling's statistic that five in a hundred samples of an exponential law pass when
# both parameters were fitted (Choulakian and Stephens 2001, table 2).
_MISFITS: Final = 0.974
# Alarms that may come, relative to those asked for, before they count as too many, and the real
# events a day that a rule may have.
_TOO_MANY: Final = 1.5
_REAL_A_DAY: Final = 1.0
_Z90: Final = 1.645
_Z80: Final = 1.282  # one side of it: 90 %
_WIDEST: Final = math.log(10.0)
# No real tail is exactly of the fitted family: this share of the hazard is uncertain in addition.
_MISFIT: Final = 0.03
# The spread of few counts is noise: so many counts of a Poisson process are added. Fewer days than
# these are counted by the quarter.
_PRIOR_BLOCKS: Final = 5.0
_DAYS: Final = 4
_BLOCK: Final = 0.25
# Least chance that a peak lies below its limit, so that no single peak stands for a hundred.
_LEAST_SEEN: Final = 0.02


@dataclass(frozen=True, slots=True)
class Answer:
    """A level and what is known about the rate of alarms there.

    Attributes:
        level: The level, above the baseline.
        per_day: Alarms per day that were aimed at: those asked for, or the rarest that the peaks
            can tell within a factor of ten.
        low: The true rate is at least this, with 95 %.
        high: The true rate is at most this, with 95 %.
    """

    level: float
    per_day: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What the peaks say.

    Attributes:
        cut: Where the tail begins, above the baseline.
        tail: Tail of the peaks over the cut.
        per_day: Ordinary clusters per day that pass the cut.
        peaks: Number of peaks behind the tail; older ones count less (Kish 1965).
        dispersion: Variance of a day's count over its mean, at least 1; of a quarter's at first.
        levels: All peaks, alerts included, the highest first, float32 [n].
        counted: Clusters per day that reach each of them, float32 [n].
        worth: Number of clusters that the same number of days would have counted without weights,
            for one a day.
    """

    cut: float
    tail: Tail
    per_day: float
    peaks: float
    dispersion: float
    levels: NDArray[np.float32]
    counted: NDArray[np.float32]
    worth: float

    def rate(self, level: float) -> float:
        """Return the alarms per day at a level; below the cut, what was counted."""
        if level < self.cut:
            above = int((self.levels >= level).sum())
            return float(self.counted[max(0, above - 1)])
        hazard = float(self.tail.hazards(np.array([level - self.cut]))[0])
        return self.per_day * math.exp(-hazard)

    def answer(self, asked: float) -> Answer:
        """Return the level for ``asked`` alarms a day."""
        hazard = self._within_reach(max(0.0, math.log(self.per_day / asked)))
        aimed = max(asked, self.per_day * math.exp(-hazard)) if hazard else asked
        fitted = self.cut + self.tail.excess(hazard)
        lowest, highest = self._bounds(aimed)
        level = max(lowest, min(fitted, highest))
        rate = self.rate(level)
        spread = math.exp(min(_WIDEST, _Z90 * self._deviation(level)))
        low, high = rate / spread, rate * spread
        if level != fitted:  # the count contradicts the tail: either may be right
            few, many = self._interval(level)
            low, high = min(low, few), max(high, many)
        return Answer(level, aimed, low, high)

    def _within_reach(self, hazard: float) -> float:
        """Return the largest hazard up to ``hazard`` that is known within a factor of ten."""
        if self._is_known(hazard):
            return hazard
        known, unknown = 0.0, hazard
        for _ in range(12):
            middle = (known + unknown) / 2
            if self._is_known(middle):
                known = middle
            else:
                unknown = middle
        return known

    def _is_known(self, hazard: float) -> bool:
        return _Z90 * self._deviation(self.cut + self.tail.excess(hazard)) <= _WIDEST

    def _deviation(self, level: float) -> float:
        """Return the standard deviation of the logarithm of the rate at a level."""
        excess = max(0.0, level - self.cut)
        hazard = float(self.tail.hazards(np.array([excess]))[0])
        noise = math.hypot(self.tail.deviation(excess), 1 / math.sqrt(self.peaks))
        return math.hypot(math.sqrt(self.dispersion) * noise, _MISFIT * hazard)

    def _bounds(self, asked: float) -> tuple[float, float]:
        """Return the lowest and highest level that the count allows."""
        most = max(_TOO_MANY * asked, _REAL_A_DAY + asked / 2)
        above = int(np.searchsorted(self.counted, most))
        lowest = float(self.levels[min(above, len(self.levels) - 1)])
        # Upper bound of a Poisson count's mean, by the square root's constant variance.
        counts = self.counted * self.worth
        bounds = (np.sqrt(counts + 1) + _Z80 / 2 * math.sqrt(self.dispersion)) ** 2 / self.worth
        rare = np.flatnonzero(bounds < asked)
        highest = float(self.levels[rare[-1]]) if len(rare) else math.inf
        return lowest, max(lowest, highest)

    def _interval(self, level: float) -> tuple[float, float]:
        """Return the interval of the rate that the count at a level gives, 90 %."""
        count = self.counted[self.levels >= level].max(initial=0.0) * self.worth
        half = _Z90 / 2 * math.sqrt(self.dispersion)
        few = max(0.0, math.sqrt(count) - half) ** 2
        return few / self.worth, (math.sqrt(count + 1) + half) ** 2 / self.worth


def know(peaks: Peaks, watched_s: float, asked: float) -> Known | None:
    """Find out what the peaks say about a rate of ``asked`` alarms a day.

    Args:
        peaks: The peaks.
        watched_s: Time watched so far, in seconds.
        asked: Alarms per day.

    Returns:
        What they say; None where there are too few, or all are alike.
    """
    if len(peaks) < _FEWEST_PEAKS:
        return None
    days = peaks.exposure_days(watched_s)
    order = np.argsort(-peaks.table[0], kind="stable")
    levels, limits, came, alerts, sure = peaks.table.astype(np.float64)[:, order]
    # What began three alerts is three alarms.
    weights = peaks.weights(watched_s)[order] * np.maximum(1.0, alerts)
    known = (sure == 1) & ((levels < limits) | (alerts > 0))
    limits = np.where(alerts > 0, math.inf, limits)
    begins = np.cumsum(weights * known)
    first, fewest = (
        max(least, each * asked * days)
        for least, each in zip(_PEAKS, _PEAKS_PER_ALARM, strict=True)
    )
    found, fits = None, False
    while not fits and first >= fewest:
        cut = float(levels[min(int(np.searchsorted(begins, first)), len(levels) - 1)])
        first *= _HIGHER
        over = known & (levels > cut)
        excesses, missing, own = levels[over] - cut, limits[over] - cut, weights[over]
        tail = fit(excesses, missing, own) if len(own) >= _FEWEST_PEAKS / 2 else None
        if tail is None:
            continue
        fits = _distance(tail, excesses, missing) < _MISFITS
        seen = np.maximum(_LEAST_SEEN, -np.expm1(-tail.hazards(missing)))
        found = Known(
            cut=cut,
            tail=tail,
            per_day=float((own / seen).sum()) / days,
            peaks=float(own.sum() ** 2 / (own**2).sum()),
            dispersion=_dispersion(came[over], peaks.since_s / DAY_S, watched_s / DAY_S),
            levels=levels.astype(np.float32),
            counted=(np.cumsum(weights) / days).astype(np.float32),
            worth=days * float(weights.sum() / (weights**2).sum()),
        )
    return found


def _distance(tail: Tail, excesses: NDArray[np.float64], limits: NDArray[np.float64]) -> float:
    """Return Anderson and Darling's distance of peaks [n] below their limits [n] from a tail."""
    below = -np.expm1(-tail.hazards(limits))
    shares = np.sort(-np.expm1(-tail.hazards(excesses)) / below).clip(1e-12, 1 - 1e-12)
    count = len(shares)
    odd = 2 * np.arange(1, count + 1) - 1
    return float(-count - (odd * (np.log(shares) + np.log1p(-shares[::-1]))).sum() / count)


def _dispersion(came: NDArray[np.float64], since: float, until: float) -> float:
    """Return the variance of a count over its mean, drawn towards 1, at least 1.

    Args:
        came: Days at which peaks came, float64 [n].
        since: Day on which the watching began.
        until: Day now.
    """
    block = 1.0 if until - since >= _DAYS else _BLOCK
    blocks = int((until - since) / block)
    if blocks < 2:
        return 1.0
    counts = np.histogram(came, bins=blocks, range=(until - blocks * block, until))[0]
    mean = counts.mean()
    if mean == 0:
        return 1.0
    squares = float(((counts - mean) ** 2).sum() / mean)
    return max(1.0, (squares + _PRIOR_BLOCKS) / (blocks - 1 + _PRIOR_BLOCKS))
