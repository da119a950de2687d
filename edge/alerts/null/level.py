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
3. **The count** of the clusters that reach a level, alerts included, says the rate there whatever
   the law is, but from few. So both answer together, by credibility (Bühlmann 1967): the tail's
   rate is a gamma prior, worth as many alarms as its uncertainty says, and the count is Poisson's.
   The farther a level is beyond the cut, the less the tail is worth.
4. **Real events** are among what is counted. Ordinary things mostly just pass a level: those beyond
   where the tail is ten times rarer count only as far as they are more than may be real.
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
# The law was found below the level: so much of each unit of hazard between is uncertain, too.
_MISFIT: Final = 0.25
# What reaches a level but not where the tail is ten times rarer counts as ordinary. What is beyond
# may be real: the rest of so many a day, or of so many times what was asked for.
_NEAR: Final = math.log(10.0)
_ALARMS_A_DAY: Final = 1.5
# How far a day differs from others: standard deviation of the rate's logarithm. The mean of the
# days that were seen differs, too: from a day to come by the root of 1 + 1/days as much.
_OTHER_DAYS: Final = 0.35
_Z90: Final = 1.645
_WIDEST: Final = math.log(10.0)
# A rate is known within a factor of ten where it is known as well as by so many alarms; and where
# the days are so many times those of one alarm: what was never seen in them is rarer than ten times
# that with 90 %.
_FEWEST_ALARMS: Final = (_Z90 / _WIDEST) ** 2
_ENOUGH: Final = math.log(10.0) / 10
# Levels between which rates are interpolated: hazards of the tail, beyond what was asked for, and
# the number of levels below the tail.
_STEP: Final = 0.1
_BEYOND: Final = 10.0
_BELOW: Final = 64
_ABOVE: Final = 256  # of the highest peaks
_RAREST: Final = 60.0  # hazard
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
        levels: Levels above the baseline, rising, float32 [n].
        rates: Ordinary clusters per day that reach them, which fall, float32 [n].
        worths: Number of alarms that would tell each rate as well, float32 [n].
        tells: The same for the tail alone, float32 [n]; infinity below the tail.
        begins: Index of the level where the tail begins.
        days: Days that the peaks come from; older ones count less.
        peaks: Number of peaks behind the tail; older ones count less (Kish 1965).
    """

    levels: NDArray[np.float32]
    rates: NDArray[np.float32]
    worths: NDArray[np.float32]
    tells: NDArray[np.float32]
    begins: int
    days: float
    peaks: float

    def rate(self, level: float) -> float:
        """Return the alarms per day at a level; below the tail, what was counted."""
        return float(np.exp(np.interp(level, self.levels, np.log(self.rates))))

    def answer(self, asked: float) -> Answer:
        """Return the lowest level with at most ``asked`` alarms a day."""
        last = len(self.rates) - 1
        # That nothing was seen for so long says enough about what is beyond.
        if self.days * asked < _ENOUGH:
            last = max(self.begins, int((self.tells >= _FEWEST_ALARMS).sum()) - 1)
        aimed = max(asked, float(self.rates[last]))
        place = self.begins + int(np.argmax(self.rates[self.begins : last + 1] <= aimed))
        level = self._level(place, aimed)
        rate, worth = self.rate(level), float(self.worths[place])
        other_days = _OTHER_DAYS * math.sqrt(1 + 1 / self.days)
        spread = math.exp(min(_WIDEST, _Z90 * math.hypot(1 / math.sqrt(worth), other_days)))
        return Answer(level, aimed, rate / spread, rate * spread)

    def _level(self, place: int, rate: float) -> float:
        """Return the level of a rate between those at ``place`` and before."""
        level = float(self.levels[place])
        if place == self.begins:
            return level
        above, below = np.log(self.rates[place - 1 : place + 1].astype(np.float64)).tolist()
        share = (above - math.log(rate)) / (above - below) if above > below else 1.0
        before = float(self.levels[place - 1])
        return before + share * (level - before)


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """The peaks, the highest first.

    Attributes:
        levels: Their levels, float64 [n].
        weights: Their weights, float64 [n].
        sure: Whether each is false beyond doubt, bool [n].
        days: Days that they come from, weighted as they are.
    """

    levels: NDArray[np.float64]
    weights: NDArray[np.float64]
    sure: NDArray[np.bool_]
    days: float

    def reached(self, levels: NDArray[np.float64], *, sure: bool) -> NDArray[np.float64]:
        """Return the weight of the peaks that reach each of ``levels``, sure or unsure ones."""
        total = np.cumsum((self.weights * (self.sure == sure))[::-1])
        below = np.searchsorted(self.levels[::-1], levels, side="left")
        return np.asarray(total[-1] - np.concatenate([[0.0], total])[below])


@dataclass(frozen=True, slots=True)
class _Fit:
    """The tail and where it begins.

    Attributes:
        cut: Where it begins, above the baseline.
        tail: The tail.
        per_day: Ordinary clusters per day that pass the cut.
        peaks: Number of peaks behind the tail.
        dispersion: Variance of a day's count over its mean, at least 1; of a quarter's at first.
    """

    cut: float
    tail: Tail
    per_day: float
    peaks: float
    dispersion: float


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
        found = _Fit(
            cut=cut,
            tail=tail,
            per_day=float((own / seen).sum()) / days,
            peaks=float(own.sum() ** 2 / (own**2).sum()),
            dispersion=_dispersion(came[over], peaks.since_s / DAY_S, watched_s / DAY_S),
        )
    if found is None:
        return None
    return _together(found, _Seen(levels, weights, (sure == 1) & (alerts > 0), days), asked)


def _together(fit: _Fit, seen: _Seen, asked: float) -> Known:
    """Return the rates that the tail and the count give together, at many levels."""
    tail = fit.tail
    steps = np.arange(0.0, max(0.0, math.log(fit.per_day / asked)) + _BEYOND, _STEP)
    over = seen.levels[:_ABOVE][seen.levels[:_ABOVE] > fit.cut] - fit.cut
    excesses = np.union1d(tail.excesses(steps), over)
    hazards = np.minimum(tail.hazards(excesses), _RAREST)
    levels = fit.cut + excesses
    deviations = tail.deviations(excesses)
    noise = fit.dispersion * (deviations**2 + 1 / fit.peaks)
    fitted = fit.per_day * np.exp(-hazards)
    worth = 1 / (noise + (_MISFIT * hazards) ** 2)
    far = fit.cut + tail.excesses(hazards + _NEAR)
    unsure = seen.reached(levels, sure=False)
    near = (unsure - seen.reached(far, sure=False)) / -math.expm1(-_NEAR)
    real = _ALARMS_A_DAY * max(1.0, asked) - asked
    unsure = np.maximum(np.maximum(0.0, near), unsure - real * seen.days)
    independent = seen.weights.sum() / (seen.weights**2).sum() / fit.dispersion
    worths = worth + (seen.reached(levels, sure=True) + unsure) * independent
    rates = worths / (worth / fitted + seen.days * independent)
    below = seen.levels[seen.levels <= fit.cut][::-1]
    below = below[:: max(1, len(below) // _BELOW)]
    counted = sum(seen.reached(below, sure=sure) for sure in (True, False)) / seen.days
    return Known(
        levels=np.concatenate([below, levels]).astype(np.float32),
        rates=np.minimum.accumulate(np.concatenate([counted, rates])).astype(np.float32),
        worths=np.concatenate([counted * seen.days, worths]).astype(np.float32),
        tells=np.concatenate([np.full(len(below), math.inf), worth]).astype(np.float32),
        begins=len(below),
        days=seen.days,
        peaks=fit.peaks,
    )


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
