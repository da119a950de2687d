"""Makes the estimate for what a rule asks: at any hour or evenly, from which side at the start."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from edge.alerts.null.hour_rates import HourRates, rates_at
from edge.alerts.null.hours import HOURS, WatchedHours, hour_of
from edge.alerts.null.level import Answer, Known, know
from edge.alerts.null.peaks import DAY_S, Peaks

Start = Literal["quiet", "loud"]

_Z90: Final = 1.645
# The start is over after the time in which seven alarms are asked for, but 28 days at most.
_ALARMS: Final = 7.0
_LONGEST_DAYS: Final = 28.0
_FAR: Final = 100.0  # no margin is there: cosines are at most 1
_BISECTIONS: Final = 40
_WIDEST: Final = 10.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What a rule asks for.

    Attributes:
        per_day: False alarms per day, above 0.
        even: Whether each hour of the day has a share of its own, 1/24.
        start: Side from which the threshold comes while little is known; None: the middle.
    """

    per_day: float
    even: bool = False
    start: Start | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """A threshold and what is known about it.

    Attributes:
        level: The threshold, above the baseline.
        hysteresis: Hysteresis for this threshold: at most half the way back to the baseline.
        per_day: False alarms per day that were asked for, or the rarest that are known within a
            factor of ten.
        low: The true rate at this threshold is at least this, with 95 %.
        high: The true rate is at most this, with 95 %.
        watched_days: Days of watching that the estimate was learned from.
        peaks: Number of clusters that it was learned from; older ones count less.
        relative: Rate of this hour by the mean rate; 1 where the rule asks for no even rate.
            ``low`` and ``high`` are of a day that is like this hour.
        by_hour: False alarms that are expected in each hour of a working day (0 to 23) and of a
            Saturday or Sunday (24 to 47) at this threshold, 48 numbers; None in an hour that was
            never watched. None where no hours are known.
    """

    level: float
    hysteresis: float
    per_day: float
    low: float
    high: float
    watched_days: float
    peaks: float
    relative: float = 1.0
    by_hour: tuple[float | None, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class WatchedPeaks:
    """What a tail has seen: peaks, the time watched so far in seconds, and when that was."""

    peaks: Peaks
    watched_s: float
    hours: WatchedHours

    def rates(self, level: float, at: datetime) -> HourRates | None:
        """Return how the alarms at a level spread over the hours of ``at``'s time zone."""
        zone = at.tzinfo or UTC
        return rates_at(self.hours, self.peaks, self.watched_s, level, zone)


def found(seen: WatchedPeaks, known: Known, asked: Asked, at: datetime | None) -> Estimate:
    """Return the estimate for what is asked, without its hysteresis.

    Args:
        seen: What was seen.
        known: What its peaks say about it.
        asked: What the rule asks for.
        at: Local time, aware, of the hour that the estimate is for; None: no hours are known.
    """
    answer, relative, worth = known.answer(asked.per_day), 1.0, math.inf
    rates = None if at is None else seen.rates(answer.level, at)
    if asked.even and at is not None and rates is not None:
        hour = hour_of(at)
        # The first round finds the level roughly, whose hours and tail the second one looks at.
        for last in (False, True):
            relative, worth = float(rates.relative[hour]), float(rates.worth[hour])
            aim = asked.per_day / relative
            own = (know(seen.peaks, seen.watched_s, aim) if last else None) or known
            answer = own.answer(aim)
            rates = seen.rates(answer.level, at) or rates
        known = own
    answer = leaning(known, answer, asked, seen.watched_s / DAY_S, asked.per_day / relative)
    unsure = math.exp(_Z90 / math.sqrt(worth))
    return Estimate(
        level=answer.level,
        hysteresis=0.0,
        per_day=answer.per_day * relative,
        low=answer.low * relative / unsure,
        high=answer.high * relative * unsure,
        watched_days=seen.watched_s / DAY_S,
        peaks=known.peaks,
        relative=relative,
        by_hour=None if rates is None else _by_hour(rates, known.rate(answer.level)),
    )


def leaning(known: Known, answer: Answer, asked: Asked, days: float, aim: float) -> Answer:
    """Return the answer on the side that a rule starts from.

    A quiet start asks that the upper end of the rate's interval is what was asked for, a loud one
    that the lower end is, and goes no further than rates that are known within a factor of ten.
    Both come to the middle while the first seven alarms are due.

    Args:
        known: What the peaks say.
        answer: Their answer.
        asked: What the rule asks for.
        days: Watched days.
        aim: False alarms per day of a day on which all hours have what is asked for this one.
    """
    weight = max(0.0, 1 - days / min(_LONGEST_DAYS, _ALARMS / asked.per_day))
    if asked.start is None or not weight:
        return answer
    rate = known.rate(answer.level)
    if asked.start == "quiet":
        wanted = aim * (rate / answer.high) ** weight
    else:
        wanted = aim * (rate / max(answer.low, rate / _WIDEST)) ** weight
    if (wanted > rate) == (asked.start == "quiet"):
        return answer
    level = _level(known, answer.level, wanted)
    by = known.rate(level) / rate
    return Answer(level, known.rate(level), answer.low * by, answer.high * by)


def _level(known: Known, level: float, wanted: float) -> float:
    """Return the level of a rate by bisection, from another level; the last one that is known."""
    rarest, commonest = known.rate(_FAR), known.rate(-_FAR)
    wanted = max(1.001 * rarest, min(wanted, 0.999 * commonest))
    down = known.rate(level) < wanted
    near, far = level, -_FAR if down else _FAR
    for _ in range(_BISECTIONS):
        middle = (near + far) / 2
        if (known.rate(middle) > wanted) == down:
            far = middle
        else:
            near = middle
    return far


def _by_hour(rates: HourRates, rate: float) -> tuple[float | None, ...]:
    """Return the alarms that are expected in each hour of the week, where it was watched."""
    expected = (rates.relative * rate * 2 / HOURS).tolist()
    return tuple(
        one if watched else None
        for one, watched in zip(expected, rates.watched.tolist(), strict=True)
    )
