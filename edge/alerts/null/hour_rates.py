"""Tells how the alarms of ordinary frames spread over the hours of the week.

The *relative rate* of an hour is its rate of alarms by the mean rate: 1 everywhere for a stream
that does not know the time. Few alarms fall into one hour, so the counts are drawn towards what is
likely before them. A relative rate has a gamma law before the count O, with mean m and strength a:
it is worth a expected alarms. The count is Poisson with mean E m, where E are the alarms expected
at the mean rate. Then the relative rate is (Clayton and Kaldor 1987, on relative risks)::

    m (O + a) / (E m + a)

1. The 24 hours of the day, working days and weekends together: O and E are smoothed around the
   clock by binomial weights (1, 4, 6, 4, 1), and m is 1, the flat rate.
2. Working days and weekends as a whole: m is what the first step expects of them, a is 8.
3. Each hour of the week, without smoothing: m is the product of both.

In the first and the third step a is 1 / tau², where tau² is how much more the counts differ from
what was expected than chance does (Marshall 1991): few data give the flat rate, then a smooth
curve, and many data give each hour its own rate. Chance is what an hour differs by from
day to day: what happened once, in a burst, is no habit of its hour.
"""

from dataclasses import dataclass
from datetime import tzinfo
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.alerts.null.hours import HOURS, WatchedHours
from edge.alerts.null.peaks import DAY_S, HALF_LIFE_S, Peaks

_DAY: Final = HOURS // 2
# The shape comes from this many of the highest peaks, or from all that reach the level.
_PEAKS: Final = 96
_AROUND: Final = np.array([1, 4, 6, 4, 1]) / 16
_KIND_STRENGTH: Final = 8.0
# Before days were compared, chance is that of Poisson counts; worth so many comparisons.
_PRIOR_DAYS: Final = 5.0
_LONGEST_S: Final = 56 * DAY_S  # four half-lives of a peak
_LEAST: Final = 1e-3

_Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class HourRates:
    """Relative rates of the 48 hours of the week.

    Attributes:
        relative: Rate of each hour by the mean rate, above 0, float64 [48].
        worth: Number of alarms that each of them is known as well as, float64 [48].
        watched: Whether each hour was watched, bool [48].
    """

    relative: _Values
    worth: _Values
    watched: NDArray[np.bool_]


def rates_at(
    hours: WatchedHours, peaks: Peaks, watched_s: float, level: float, zone: tzinfo
) -> HourRates | None:
    """Return the relative rates of alarms at a level; None where nothing is known.

    Args:
        hours: Wall time of what was watched.
        peaks: The peaks.
        watched_s: Time watched so far, in seconds.
        level: Level above the baseline. A high level that few peaks reach has the rates of the
            highest 96.
        zone: Time zone of the hours.
    """
    since_s = max(peaks.since_s, hours.began_s(), watched_s - _LONGEST_S)
    came_s = peaks.table[2].astype(np.float64) * DAY_S
    own = np.flatnonzero(came_s >= since_s)
    if not len(own) or watched_s <= since_s:
        return None
    values = peaks.table[0, own]
    if len(own) > _PEAKS:
        own = own[values >= min(level, float(np.partition(values, -_PEAKS)[-_PEAKS]))]
    weights = (peaks.weights(watched_s) * np.maximum(1.0, peaks.table[3]))[own]
    times = hours.times(since_s, watched_s)
    hour, day = hours.places(came_s[own], zone)
    watched_hour, watched_day = hours.places(times, zone)
    ages = 0.5 ** ((watched_s - times) / HALF_LIFE_S)
    exposure = np.bincount(watched_hour, ages, HOURS)
    scale = float((weights**2).sum() / weights.sum()) * _dispersions(
        hour + HOURS * day, watched_hour + HOURS * watched_day
    )
    counts = np.bincount(hour, weights, HOURS).astype(np.float64)
    return drawn_rates(counts, exposure.astype(np.float64), scale)


def drawn_rates(counts: _Values, exposure: _Values, scale: _Values) -> HourRates:
    """Draw counts towards what is likely before them (module's text).

    Args:
        counts: Alarms in each hour of the week, float64 [48].
        exposure: Time for which each was watched, float64 [48].
        scale: Variance over mean of each count, float64 [48]: a count is worth so many times less.
    """
    expected = exposure * counts.sum() / exposure.sum() / scale
    counts = counts / scale
    clock, usual = counts.reshape(2, -1).sum(0), expected.reshape(2, -1).sum(0)
    # A mean with these weights is as uncertain as the sum over 1 / sum of squares hours.
    smooth, level = (_around(values) / (_AROUND**2).sum() for values in (clock, usual))
    by_clock = _drawn(smooth, level, _strength(smooth, level))
    mean = np.tile(by_clock, 2)
    kinds = [
        (own + _KIND_STRENGTH) / (before + _KIND_STRENGTH)
        for own, before in zip(
            counts.reshape(2, -1).sum(1), (expected * mean).reshape(2, -1).sum(1), strict=True
        )
    ]
    mean = np.maximum(_LEAST, mean * np.repeat(kinds, _DAY))
    before = expected * mean
    strength = _strength(counts, before)
    relative = mean * _drawn(counts, before, strength)
    relative = np.maximum(_LEAST, relative * exposure.sum() / (exposure * relative).sum())
    worth = counts + min(strength, float(counts.sum()))
    return HourRates(relative, worth, exposure > 0)


def _around(values: _Values) -> _Values:
    """Return weighted sums around the clock, float64 [24]."""
    return np.asarray(
        sum(
            weight * np.roll(values, step - len(_AROUND) // 2)
            for step, weight in enumerate(_AROUND.tolist())
        )
    )


def _strength(counts: _Values, expected: _Values) -> float:
    """Return how many expected alarms the expectation is worth; infinity where chance explains."""
    beyond = float(((counts - expected) ** 2 - expected).sum())
    return float((expected**2).sum()) / beyond if beyond > 0 else float("inf")


def _drawn(counts: _Values, expected: _Values, strength: float) -> _Values:
    if np.isinf(strength):
        return np.ones(len(counts))
    return np.asarray((counts + strength) / (expected + strength))


def _dispersions(came: NDArray[np.int64], watched: NDArray[np.int64]) -> _Values:
    """Return the variance over the mean of each hour's count from day to day, float64 [48].

    That of few days is drawn towards that of all hours, which is drawn towards 1; at least 1.

    Args:
        came: Hours of the week at which peaks came, plus 48 times the day, int64 [n].
        watched: The same of all times that were watched, int64 [n].
    """
    pairs, place = np.unique(np.concatenate([came, watched]), return_inverse=True)
    counts = np.bincount(place[: len(came)], minlength=len(pairs)).astype(np.float64)
    hours = pairs % HOURS
    days = np.bincount(hours, minlength=HOURS)
    usual = np.bincount(hours, counts, HOURS) / np.maximum(1, days)
    seen = usual[hours] > 0
    squares = (counts - usual[hours])[seen] ** 2 / usual[hours][seen]
    by_hour = np.bincount(hours[seen], squares, HOURS)
    freedom = np.where(usual > 0, days - 1, 0)
    common = max(1.0, float((squares.sum() + _PRIOR_DAYS) / (freedom.sum() + _PRIOR_DAYS)))
    return np.maximum(1.0, (by_hour + _PRIOR_DAYS * common) / (freedom + _PRIOR_DAYS))
