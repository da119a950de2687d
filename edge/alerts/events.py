"""Turns the margins of one rule on one camera into alerts: a pure state machine, time injected.

::

    quiet ──k of the last n samples at or above the threshold──▶ alert ──┐ update
      ▲                                                           │  ▲───┘
      └──(cooldown)── below threshold - hysteresis for off_after ─┘

Decisions use monotonic time only; wall time is copied into what people read. Therefore a clock that
jumps changes no alert.

Where nothing moves, samples are rare (``Sample.heartbeat``). What two neighbours of such a *still*
span agree about held for all of it: the weaker of both stands for the samples that are missing.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from ulid import ULID

from edge.config.prompt import PromptConfig
from edge.model.bundle.manifest import Decision
from edge.video.sample import Arrival

# Samples further apart than this do not belong together, however low the sampling rate is. The gap
# is long enough for a reconnect (the sources' time-out is 5 s) and for an overloaded box.
_LONGEST_GAP_S = 10.0


@dataclass(frozen=True, slots=True)
class Rule:
    """Condition under which margins become an alert.

    Attributes:
        threshold: A sample with this margin or more is a hit.
        hysteresis: A running alert goes on while the margin is at least ``threshold`` minus this.
        on_for: Number of hits that start an alert, k; the newest sample must be one of them.
        on_of: Number of samples among which the hits are counted, n.
        off_after_s: Seconds after which an alert ends if all samples in them are below.
        cooldown_s: Seconds after an alert in which samples are ignored.
        update_every_s: Seconds between two updates of a running alert; 0 for no updates.
        gap_s: Seconds from which on two samples do not belong together: they neither add up to a
            start nor hold an alert.
        still_s: The same where nothing moved between them, if that is longer.
        period_s: Seconds between two samples where something moves.
    """

    threshold: float
    hysteresis: float = 0.0
    on_for: int = 2
    on_of: int = 3
    off_after_s: float = 2.0
    cooldown_s: float = 0.0
    update_every_s: float = 10.0
    gap_s: float = _LONGEST_GAP_S
    still_s: float = 0.0
    period_s: float = 0.5

    @classmethod
    def of(
        cls, prompt: PromptConfig, defaults: Decision, fps: float, idle: float | None = None
    ) -> "Rule":
        """Make the rule of a prompt on a camera.

        It is sampled ``fps`` times a second; where nothing moves ``idle`` times, if that is given.
        The bundle's measured defaults fill in what the prompt leaves open.
        """
        threshold = defaults.threshold if prompt.threshold is None else prompt.threshold
        hysteresis = defaults.hysteresis
        if prompt.sharpened is not None:
            threshold = prompt.sharpened.threshold
            hysteresis = min(hysteresis, prompt.sharpened.hysteresis)
        return cls(
            threshold=threshold,
            hysteresis=hysteresis,
            on_for=prompt.on.for_,
            on_of=prompt.on.of,
            off_after_s=prompt.off_after,
            cooldown_s=prompt.cooldown,
            update_every_s=prompt.update_every,
            # Three periods: one lost sample of a slow camera is no gap.
            gap_s=max(_LONGEST_GAP_S, prompt.off_after, 3 / fps),
            still_s=0.0 if idle is None else 3 / idle,
            period_s=1 / fps,
        )

    def at(self, threshold: float, hysteresis: float) -> "Rule":
        """Return the rule with another threshold; ``replace`` takes a microsecond longer."""
        return Rule(
            threshold, hysteresis, self.on_for, self.on_of, self.off_after_s, self.cooldown_s,
            self.update_every_s, self.gap_s, self.still_s, self.period_s,
        )  # fmt: skip

    @property
    def longest_s(self) -> float:
        """Longest time between two samples that belong together, whatever the camera sees."""
        return max(self.gap_s, self.still_s)

    def together(self, passed_s: float, *, still: bool) -> bool:
        """Whether two samples that are ``passed_s`` apart belong together."""
        return passed_s <= (self.longest_s if still else self.gap_s)

    def missing(self, passed_s: float) -> int:
        """Return how many samples would lie between two, if something had moved."""
        return max(0, round(passed_s / self.period_s) - 1)


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of an alert that is to be published.

    Attributes:
        type: Kind of the change: ``start`` and ``end`` alternate, ``update`` only in between.
        id: ULID of the alert, the same from start to end.
        started_at: Wall time of the first hit among the samples that started it.
        at: Wall time of the sample, or of the ``finish``, that caused this transition.
        ended_at: Wall time of the last sample that held the alert; None while it runs.
        margin: Margin of the newest sample.
        score: Cosine of the newest sample.
        peak: Largest margin since ``started_at``.
    """

    type: Literal["start", "update", "end"]
    id: str
    started_at: float
    at: float
    ended_at: float | None
    margin: float
    score: float
    peak: float


class RisingIds:
    """Maker of ULIDs, each greater than the one before, also when the wall clock is set back.

    Several threads may use it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def __call__(self, at: float) -> str:
        """Return a new ULID for the wall time ``at``, in seconds, or for the latest before."""
        with self._lock:
            self._last = max(int(ULID.from_timestamp(at)), self._last + 1)
            return str(ULID.from_int(self._last))


new_ulid: Final = RisingIds()
"""Maker of all ids of alerts in this process."""


@dataclass(slots=True)
class _Sampled:
    margin: float
    score: float
    at: Arrival


@dataclass(slots=True)
class _Alert:
    id: str
    started_at: float
    peak: float
    reported: float  # monotonic time of the last start or update
    newest: _Sampled
    held: _Sampled  # the last sample that was not below
    below_since: float | None = None  # monotonic time of the first sample below after that


class EventMachine:
    """The alert of one rule on one camera.

    Args:
        rule: Condition of an alert.
        new_id: Makes the id of an alert from its wall time.

    Attributes:
        rule: Condition of an alert. It may be replaced between two steps; a running alert goes on
            under the new one.
    """

    def __init__(self, rule: Rule, new_id: Callable[[float], str] = new_ulid) -> None:
        self.rule = rule
        self._new_id = new_id
        self._recent: deque[_Sampled] = deque()
        self._last_at = float("inf")
        self._alert: _Alert | None = None
        self._quiet_until = float("-inf")

    @property
    def alerting(self) -> bool:
        """Whether an alert is running."""
        return self._alert is not None

    def step(
        self, margin: float, score: float, at: Arrival, *, still: bool = False
    ) -> list[Transition]:
        """Take one sample; samples come in order of ``at.monotonic``.

        Args:
            margin: Margin of the sample.
            score: Cosine of the sample.
            at: Arrival of the sample.
            still: Whether nothing moved since the sample before.

        Returns:
            Usually nothing. An ``end`` and a ``start`` come together only after a gap.
        """
        transitions = []
        passed_s = at.monotonic - self._last_at
        newest = _Sampled(margin, score, at)
        if not self.rule.together(passed_s, still=still):
            transitions += self.finish(at)
        elif still:
            self._fill(newest, passed_s)
        self._last_at = at.monotonic
        if self._alert:
            transitions += self._follow(self._alert, newest)
        else:
            transitions += self._watch(newest)
        return transitions

    def finish(self, at: Arrival) -> list[Transition]:
        """End the running alert: the camera is lost, the rule removed, or the daemon stops."""
        self._recent.clear()
        return [self._end(self._alert, at)] if self._alert else []

    def veto(self) -> None:
        """Take back the running alert as if it had never started: no cooldown follows."""
        self._alert = None

    def _fill(self, newest: _Sampled, passed_s: float) -> None:
        """Let the weaker of two neighbours stand for what lay between them, while none alerts."""
        last = self._recent[-1] if self._recent else None
        if last is not None and last.at.monotonic == self._last_at:
            weaker = min(last, newest, key=lambda sample: sample.margin)
            between = _Sampled(weaker.margin, weaker.score, last.at)
            self._recent.extend([between] * min(self.rule.missing(passed_s), self.rule.on_of - 1))

    def _watch(self, newest: _Sampled) -> list[Transition]:
        if newest.at.monotonic < self._quiet_until:
            return []
        self._recent.append(newest)
        while len(self._recent) > self.rule.on_of:
            self._recent.popleft()
        if newest.margin < self.rule.threshold:
            return []
        hits = [sample for sample in self._recent if sample.margin >= self.rule.threshold]
        if len(hits) < self.rule.on_for:
            return []
        self._alert = _Alert(
            id=self._new_id(newest.at.wall),
            started_at=hits[0].at.wall,
            peak=max(sample.margin for sample in hits),
            reported=newest.at.monotonic,
            newest=newest,
            held=newest,
        )
        self._recent.clear()
        return [_transition("start", self._alert, newest.at)]

    def _follow(self, alert: _Alert, newest: _Sampled) -> list[Transition]:
        now = newest.at.monotonic
        alert.newest = newest
        alert.peak = max(alert.peak, newest.margin)
        if newest.margin >= self.rule.threshold - self.rule.hysteresis:
            alert.held = newest
            alert.below_since = None
        elif alert.below_since is None:
            alert.below_since = now
        if alert.below_since is not None and now - alert.below_since >= self.rule.off_after_s:
            return [self._end(alert, newest.at)]
        if 0 < self.rule.update_every_s <= now - alert.reported:
            alert.reported = now
            return [_transition("update", alert, newest.at)]
        return []

    def _end(self, alert: _Alert, at: Arrival) -> Transition:
        self._alert = None
        self._quiet_until = at.monotonic + self.rule.cooldown_s
        return _transition("end", alert, at, ended_at=alert.held.at.wall)


def _transition(
    type_: Literal["start", "update", "end"],
    alert: _Alert,
    at: Arrival,
    ended_at: float | None = None,
) -> Transition:
    return Transition(
        type=type_,
        id=alert.id,
        started_at=alert.started_at,
        at=at.wall,
        ended_at=ended_at,
        margin=alert.newest.margin,
        score=alert.newest.score,
        peak=alert.peak,
    )
