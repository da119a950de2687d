"""Cuts the stream of margins into clusters: one cluster is one alert at the base level.

The event machine itself makes the cut, with the *base level*, a low threshold. The largest value at
which a cluster would still alert is its *peak*. Therefore the peaks already contain persistence (k
of n), the sampling rate and the correlation of neighbouring frames (declustering by runs:
Leadbetter 1991; Ferro and Segers 2003).
"""

import math
from collections import deque
from dataclasses import dataclass, replace
from typing import Final

from edge.alerts.events import EventMachine, Rule
from edge.video.sample import Arrival

# A cluster ends after this many samples below it, or after ``off_after`` if that is shorter.
_MOST_BELOW: Final = 4


@dataclass(slots=True)
class Cluster:
    """A cluster.

    Attributes:
        peak: Largest value at which it would still alert, above the baseline.
        limit: Lowest threshold in force during it, above the baseline; infinity for none.
        alerts: Number of alerts that ran in it, and in no cluster before.
        place: Place of the last of them in its clump, from 1; 0 where there is none.
        lasted: Whether one of them lasted so long that it shows the scene.
        within: Whether it began in an alert that an earlier cluster had begun.
    """

    peak: float = -math.inf
    limit: float = math.inf
    alerts: int = 0
    place: int = 0
    lasted: bool = False
    within: bool = False


class Clusters:
    """The cluster that runs.

    Args:
        rule: Condition under which margins become alerts; its threshold does not matter here.
    """

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._machine = EventMachine(rule, lambda _at: "")
        self._recent: deque[float] = deque(maxlen=rule.on_of)
        # Values that began no cluster, which the machine need not see unless the next one does.
        self._low: deque[tuple[float, float, bool]] = deque(maxlen=rule.on_of - 1)
        self._running = Cluster()
        self._counted = 0  # number of the last alert that was counted

    def push(self, value: float, missing: int = 0) -> float:
        """Take the next value; return the largest threshold that it still alerts at.

        That is the largest threshold which k of the last n values reach, the newest among them.

        Args:
            value: The value.
            missing: Number of values between the last one and this one, for which the lower of both
                stands, because nothing moved.
        """
        if missing and self._recent:
            between = min(self._recent[-1], value)
            self._recent.extend([between] * min(missing, self._rule.on_of - 1))
        self._recent.append(value)
        if len(self._recent) < self._rule.on_for:
            return min(self._recent)
        if self._rule.on_for == 1:
            return value
        return min(value, sorted(self._recent)[-self._rule.on_for])

    def step(
        self,
        value: float,
        statistic: float,
        at: float,
        limit: float,
        *,
        alert: int = 0,
        place: int = 0,
        lasted: bool = False,
        still: bool = False,
    ) -> Cluster | None:
        """Go on with the value that was pushed last.

        Args:
            value: The value.
            statistic: Result of ``push`` for it.
            at: Monotonic seconds.
            limit: Threshold in force, above the baseline.
            alert: Number of the alert that it belongs to, which rises; 0 for none.
            place: Place of that alert in its clump.
            lasted: Whether that alert has lasted too long for an event.
            still: Whether nothing moved since the value before.

        Returns:
            The cluster that has ended; None where none has ended.
        """
        if statistic < self._machine.rule.threshold and not self._machine.alerting:
            self._low.append((value, at, still))
            return None
        ended = None
        for low, when, quiet in self._low:
            self._machine.step(low, 0.0, Arrival(when, when, None), still=quiet)
        self._low.clear()
        transitions = self._machine.step(value, 0.0, Arrival(at, at, None), still=still)
        if any(transition.type == "end" for transition in transitions):
            ended, self._running = self._running, Cluster()
        if self._machine.alerting:
            running = self._running
            if running.peak == -math.inf:
                running.within = alert != 0 and alert == self._counted
            if alert > self._counted:
                running.alerts += 1
                running.place = place
                self._counted = alert
            running.peak = max(running.peak, statistic)
            running.limit = min(running.limit, limit)
            running.lasted = running.lasted or lasted
        return ended

    def break_off(self) -> Cluster | None:
        """End the cluster that runs; return it, None where none runs.

        After a gap it is forgotten, because nobody knows how it would have gone on.
        """
        ended = self._running if self._machine.alerting else None
        self._machine = EventMachine(self._machine.rule, lambda _at: "")
        self._recent.clear()
        self._low.clear()
        self._running = Cluster()
        return ended

    def cut_at(self, base: float, apart_s: float) -> None:
        """Cut clusters at the level ``base``; samples are ``apart_s`` seconds apart.

        Two settings that hardly matter where alarms are rare do matter here, where a cluster comes
        every minute. A cooldown would hide most clusters: with ten minutes of it, thresholds
        alarmed 20 times too often. And a long ``off_after`` may never pass, because ten seconds of
        samples that are all below may never come: then clusters hardly end, and nothing is learned
        (both measured on a Gaussian stream).
        """
        self._machine.rule = replace(
            self._rule,
            threshold=base,
            hysteresis=self.hysteresis(base),
            off_after_s=min(self._rule.off_after_s, _MOST_BELOW * apart_s),
            cooldown_s=0.0,
            update_every_s=0.0,
        )

    def hysteresis(self, level: float) -> float:
        """Return the hysteresis for the threshold ``level``, at most half the way back to 0."""
        return min(self._rule.hysteresis, max(0.0, level / 2))
