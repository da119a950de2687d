"""Derives the threshold of each camera and rule from the margins of ordinary frames.

A rule asks for a number of false alarms per day; the tail of its margins on ordinary frames says
which threshold gives that number (``null``). The same scene looks different in another light.
Therefore each regime has a tail of its own beside the common tail over all regimes, and its own
tail decides where the common one would be wrong for it. Until enough frames were seen, the bundle's
threshold holds (``prior``).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final, Literal

from edge.alerts.events import Rule
from edge.alerts.null import AlarmTail, Estimate, Start

CalibrationState = Literal["fixed", "prior", "learned"]

EVERYWHERE: Final = ""
"""The regime of the tail over all regimes."""

# An estimate takes milliseconds. Therefore a new one is made only when the watched time has grown
# by this factor, and at least this many seconds after the last one.
_GROWTH: Final = 1.02
_PAUSE_S: Final = 60.0
_HOUR_S: Final = 3600.0
# A quiet start: samples before which nothing alerts, a margin that no cosines have, and by how much
# more than ordinary frames have reached before a first alert must reach.
_FIRST_SAMPLES: Final = 100
_NEVER: Final = 2.0
_BEYOND: Final = 1.5


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """Origin of a threshold.

    Attributes:
        state: ``fixed``: the user set it; ``prior``: the bundle's, until enough was seen;
            ``learned``: from this camera's ordinary frames.
        threshold: Threshold in force.
        asked: False alarms per day that were asked for; None where the threshold is fixed.
        estimate: Estimate behind the threshold; None unless ``learned``.
    """

    state: CalibrationState
    threshold: float
    asked: float | None
    estimate: Estimate | None


class Calibration:
    """The threshold of one rule on one camera. Pure: time is injected.

    Args:
        rule: Condition of an alert; its threshold is the prior.
        asked: False alarms per day that are asked for; None leaves the threshold as it is.
        tails: Tails that were learned before, by regime.
        lowest: Lowest threshold that may be learned; None for no limit.
        even: Whether each hour of the day has an equal share of the false alarms.
        start: Side from which the threshold comes while little is known; None: the middle.
        zone: Time zone of the hours; None: no hours are to be known.

    Attributes:
        tails: Tails by regime.
    """

    def __init__(
        self,
        rule: Rule,
        asked: float | None,
        tails: Mapping[str, AlarmTail] | None = None,
        *,
        lowest: float | None = None,
        even: bool = False,
        start: Start | None = None,
        zone: tzinfo | None = None,
    ) -> None:
        self._rule = rule
        self._asked = asked
        self._lowest = -math.inf if lowest is None else lowest
        self._even = even
        self._start = start
        self._zone = zone
        self.tails: dict[str, AlarmTail] = dict(tails or {})
        self._regime = EVERYWHERE
        self._judge = EVERYWHERE  # the regime whose tail decides
        self._estimates: dict[str, Estimate | None] = {}
        self._due: dict[str, float] = {}

    @property
    def rule(self) -> Rule:
        """The rule with the threshold and hysteresis in force."""
        estimate = self._estimate()
        if estimate is None:
            quiet = self._asked is not None and self._start == "quiet"
            return self._rule.at(self._threshold, self._rule.hysteresis) if quiet else self._rule
        return self._rule.at(self._threshold, estimate.hysteresis)

    @property
    def _threshold(self) -> float:
        estimate = self._estimate()
        if estimate is None:
            return self._first()
        return max(self._lowest, self.tails[self._judge].baseline + estimate.level)

    @property
    def learns(self) -> bool:
        """Whether its threshold is learned."""
        return self._asked is not None

    def restore(self, tails: Mapping[str, AlarmTail]) -> None:
        """Go on with tails that were learned before, where they know more than the present ones."""
        for name, tail in tails.items():
            if name not in self.tails or tail.samples > self.tails[name].samples:
                self.tails[name] = tail
        self._estimates.clear()
        self._due.clear()
        self._judge = EVERYWHERE

    def observe(
        self,
        margin: float,
        at: float,
        *,
        alerting: bool,
        regime: str,
        wall: float | None = None,
        still: bool = False,
    ) -> None:
        """Learn from one sample, and make a new estimate from time to time.

        Args:
            margin: Margin of the rule.
            at: Monotonic seconds.
            alerting: Whether the sample belongs to an alert, and so is not ordinary.
            regime: Regime of the scene now.
            wall: Seconds since the epoch; None where no hours are to be known.
            still: Whether nothing moved since the last sample.
        """
        if self._asked is None:
            return
        threshold = self._threshold
        if regime != self._regime:
            self._regime = regime
            self._judge = self._choose()
        for name in (EVERYWHERE,) if regime == EVERYWHERE else (EVERYWHERE, regime):
            tail = self.tails.get(name)
            if tail is None:
                tail = self.tails[name] = AlarmTail(self._rule)
            tail.observe(margin, at, alerting=alerting, threshold=threshold, wall=wall, still=still)
            self._look(name, self._asked, at, wall)

    def levels(self, margin: float) -> dict[str, float]:
        """Return how far ``margin`` is above the baseline, for each regime that learns now."""
        return {
            name: margin - self.tails[name].baseline
            for name in {EVERYWHERE, self._regime} & self.tails.keys()
        }

    def rate(self, levels: Mapping[str, float], wall: float | None, *, correct: bool) -> None:
        """Learn from what a person said of an alert; the threshold follows with the next sample.

        Args:
            levels: Levels of its margin at that time, by regime: the baseline may have moved since.
            wall: Seconds since the epoch at which it began; None where that is not known.
            correct: Whether it was right. A right alert is none that is asked for as a false one.
        """
        for name in levels.keys() & self.tails.keys():
            tail = self.tails[name]
            (tail.confirm if correct else tail.admit)(levels[name], wall)
        self._due.clear()

    def chance(self, level: float) -> float | None:
        """Return the chance that ordinary frames reach ``level`` within a day, 0..1.

        None where it is not known. Rare alarms come as a Poisson process: 1 - exp(-rate).
        """
        if self._estimate() is None:
            return None
        rate = self.tails[self._judge].rate(level)
        return None if rate is None else -math.expm1(-rate)

    def report(self) -> CalibrationReport:
        """Return the origin of the threshold."""
        estimate = self._estimate()
        state: CalibrationState = "prior" if estimate is None else "learned"
        if self._asked is None:
            state = "fixed"
        return CalibrationReport(state, self._threshold, self._asked, estimate)

    def forget(self) -> None:
        """Begin anew, because the camera sees something else."""
        self.tails.clear()
        self._estimates.clear()
        self._due.clear()
        self._judge = EVERYWHERE

    def _estimate(self) -> Estimate | None:
        name, asked = self._judge, self._asked
        if name not in self._estimates and name in self.tails and asked is not None:
            # What was learned before decides from the first sample on.
            known = self.tails[name].estimate(asked, even=self._even, start=self._start)
            self._estimates[name] = known
        return self._estimates.get(name)

    def _choose(self) -> str:
        """Return the regime whose tail decides: the common one, unless it is wrong here.

        The common threshold is wrong where its rate in the present regime lies outside the interval
        of the regime's own estimate.
        """
        common, own = self._estimates.get(EVERYWHERE), self._estimates.get(self._regime)
        if own is None or self._asked is None:
            return EVERYWHERE
        if common is None:
            return self._regime
        here = self.tails[self._regime].rate(self.tails[EVERYWHERE].baseline + common.level)
        alike = here is not None and own.low <= own.relative * here <= own.high
        return EVERYWHERE if alike else self._regime

    def _first(self) -> float:
        """Return the threshold before anything is known.

        A quiet start alerts only on what is far above everything that ordinary frames have shown.
        """
        if self._asked is None or self._start != "quiet":
            return self._rule.threshold
        tail = self.tails.get(EVERYWHERE)
        if tail is None or tail.samples < _FIRST_SAMPLES:
            return _NEVER
        return max(self._rule.threshold, tail.baseline + _BEYOND * max(0.0, tail.highest))

    def _look(self, regime: str, asked: float, at: float, wall: float | None) -> None:
        if at < self._due.get(regime, -math.inf):
            return
        zone = self._zone
        now = None if zone is None or wall is None else datetime.fromtimestamp(wall, zone)
        estimate = self.tails[regime].estimate(asked, even=self._even, start=self._start, at=now)
        self._estimates[regime] = estimate
        watched_s = 0.0 if estimate is None else estimate.watched_days * 86_400
        pause_s = max(_PAUSE_S, (_GROWTH - 1) * watched_s)
        if self._even and now is not None:
            pause_s = min(pause_s, _HOUR_S - 60 * now.minute - now.second)
        self._due[regime] = at + pause_s
        self._judge = self._choose()
