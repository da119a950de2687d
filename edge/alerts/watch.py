"""Watches one camera by its rules: scores of a sample go in, what happened comes out. Pure.

::

    cosines ─(pool)→ margins of clauses ─tracker→ one margin ─┬→ null distribution → threshold ┐
                                                              └──────────→ event machine ←─────┘
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.alerts.events import EventMachine, Rule, Transition
from edge.alerts.second_look import Finding
from edge.alerts.threshold import Calibration, CalibrationReport
from edge.alerts.visits import Visit, Visits
from edge.config.prompt import PoolConfig
from edge.rules.bank import PromptBank
from edge.rules.plan import RulePlan
from edge.rules.temporal.pools import Pool, pool_of
from edge.rules.temporal.track import UNKNOWN, Tracker
from edge.scoring.margins import Scores, best_sentence, margins
from edge.scoring.scorers.base import Scored
from edge.video.sample import Arrival


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """One sample's cosines [K] and scores [P], from the sample alone or from a pool."""

    cosines: NDArray[np.float32]
    scores: Scores


# Scores by the pool that a rule takes them from; None: from the sample alone.
Weighed = Mapping[PoolConfig | None, _View]


@dataclass(frozen=True, slots=True)
class Happening:
    """A transition of one rule's event.

    Attributes:
        prompt: Name of the rule.
        sentence: The rule's sentence that fits the newest frame best.
        sentences: All sentences of the rule.
        calibration: Origin of the threshold that the margin was compared with.
        chance: Probability that ordinary frames reach the alert's largest margin within a day,
            0..1; None where it is not known.
        levels: Distance of the largest margin above the ordinary margin, by regime.
        transition: The transition.
        finding: Finding of the second look; None where there was none.
        visit: Place of the alert among those that a person would count once.
    """

    prompt: str
    sentence: str
    sentences: tuple[str, ...]
    calibration: CalibrationReport
    chance: float | None
    levels: Mapping[str, float]
    transition: Transition
    finding: Finding | None = None
    visit: Visit | None = None


class WatchedRule:
    """State of one rule on one camera.

    Args:
        plan: Clauses of the rule and their order in time.
        rule: Condition under which its margin becomes an alert.
        calibration: Origin of its threshold.
        base: Margin at which a clause counts as seen (the bundle's threshold). Clauses are combined
            relative to it.
        pool: Pool that its cosines come from; None: the newest sample alone.
        visits: Alerts counted before; None: none.
    """

    def __init__(
        self,
        plan: RulePlan,
        rule: Rule,
        calibration: Calibration,
        *,
        base: float,
        pool: PoolConfig | None = None,
        visits: Visits | None = None,
    ) -> None:
        self.plan = plan
        self.visits = visits or Visits()
        self.calibration = calibration
        self.machine = EventMachine(rule)
        self.pool = pool
        self.on = True
        self.margin: float | None = None
        self.sentence = plan.text
        self._gap_s = rule.gap_s
        self._last_at: float | None = None
        self._tracker = Tracker(plan.expression, rule.gap_s)
        self._before: list[float] = []  # relative margins of the sample before
        self._base = base

    def step(
        self,
        margins: NDArray[np.float32],
        cosine: float,
        at: Arrival,
        regime: str,
        *,
        still: bool = False,
    ) -> list[Transition]:
        """Step with the margins [clauses] of one sample and the cosine to report.

        Args:
            margins: Margins, float32 [clauses].
            cosine: Cosine to report.
            at: Arrival of the sample.
            regime: Light of the scene.
            still: Whether nothing moved since the sample before.
        """
        relative = [float(margin) - self._base for margin in margins]
        if self._last_at is not None:
            passed_s = at.monotonic - self._last_at
            if self.machine.rule.together(passed_s, still=still):
                self.visits.watched_s += passed_s
                if still and self.plan.has_time:
                    self._fill(relative, self._last_at, passed_s)
        self._last_at, self._before = at.monotonic, relative
        composed = self._tracker.step(relative, at.monotonic)
        margin = self._base + composed
        self.margin = margin
        self.machine.rule = self.calibration.rule
        transitions = self.machine.step(margin, cosine, at, still=still)
        if composed > UNKNOWN:  # an unknown value says nothing about ordinary frames
            alerting = self.machine.alerting or bool(transitions)
            self.calibration.observe(
                margin,
                at.monotonic,
                alerting=alerting,
                regime=regime,
                wall=at.wall,
                still=still,
            )
        return transitions

    def _fill(self, relative: list[float], since: float, passed_s: float) -> None:
        """Step the sentence through a still span: each time is as the sample that is nearer."""
        missing = self.machine.rule.missing(passed_s)
        for number in range(1, missing + 1):
            nearer = self._before if 2 * number <= missing + 1 else relative
            self._tracker.step(nearer, since + passed_s * number / (missing + 1))

    def visit(self, transition: Transition) -> Visit | None:
        """Count a transition; return the place of its alert."""
        if transition.type == "start":
            self.visits.begin(transition.id)
        if transition.type == "end":
            self.visits.end()
        return self.visits.current

    def switch_off(self, at: Arrival) -> list[Transition]:
        """Forget what was seen, and end the alert if one runs."""
        self.on = False
        self.margin = None
        self._tracker = Tracker(self.plan.expression, self._gap_s)
        return self.machine.finish(at)


class Watch:
    """State of all rules of one camera.

    Attributes:
        rules: The rules by name.
    """

    def __init__(self, rules: Mapping[str, WatchedRule]) -> None:
        self.rules = dict(rules)
        self._pools: dict[PoolConfig, Pool] = {}
        self._pooled_with: str | None = None  # hash of the bank that the pools hold cosines of
        self._last_at: float | None = None

    @property
    def alerting(self) -> bool:
        """Whether an alert is running."""
        return any(rule.machine.alerting for rule in self.rules.values())

    @property
    def margins(self) -> dict[str, float]:
        """Margin of each rule in the newest sample; rules that are off are missing."""
        return {name: rule.margin for name, rule in self.rules.items() if rule.margin is not None}

    def weigh(
        self, bank: PromptBank, scored: Scored, at: Arrival, *, still: bool = False
    ) -> Weighed:
        """Compute the scores that the rules need, once for each pool.

        Args:
            bank: Bank that the cosines were computed with.
            scored: Cosines [K] of one sample and its embedding.
            at: Arrival of the sample.
            still: Whether nothing moved since the sample before.
        """
        self._forget_after_gap(at, still=still)
        self._last_at = at.monotonic
        if self._pooled_with != bank.hash:
            self._pools = {}
            self._pooled_with = bank.hash
        weighed = {}
        for config in {rule.pool for rule in self.rules.values()}:
            cosines = scored.cosines
            if config is not None:
                made = pool_of(config.kind, config.frames, bank.words)
                cosines = self._pools.setdefault(config, made).push(cosines, scored.embedding)
            weighed[config] = _View(cosines, margins(bank, cosines))
        return weighed

    def step(
        self,
        bank: PromptBank,
        weighed: Weighed,
        at: Arrival,
        regime: str = "",
        *,
        still: bool = False,
    ) -> list[Happening]:
        """Step every rule that is on with one sample.

        Args:
            bank: Bank that the scores were computed with.
            weighed: Result of ``weigh`` for the sample.
            at: Arrival of the sample.
            regime: Light of the scene, by which ordinary pictures differ (ADR 15).
            still: Whether nothing moved since the sample before.
        """
        columns = {name: column for column, name in enumerate(bank.names)}
        happenings = []
        for name, rule in self.rules.items():
            own = [columns[clause] for clause in rule.plan.clauses if clause in columns]
            if not rule.on or len(own) != len(rule.plan.clauses):
                continue  # or the bank does not have this rule yet
            view = weighed[rule.pool]
            margin, cosine = view.scores.margin[own], float(view.scores.cosine[own[-1]])
            transitions = rule.step(margin, cosine, at, regime, still=still)
            if transitions and len(own) == 1:
                rule.sentence = best_sentence(bank, bank.prompts[own[0]], view.cosines)
            happenings += _happenings(name, rule, transitions)
        return happenings

    def switch(self, on: Collection[str], at: Arrival) -> list[Happening]:
        """Switch these rules on and the others off; return the ends of alerts that ran."""
        happenings = []
        for name, rule in self.rules.items():
            if name in on:
                rule.on = True
            elif rule.on:
                happenings += _happenings(name, rule, rule.switch_off(at))
        return happenings

    def drop(self, name: str, at: Arrival) -> list[Happening]:
        """Stop watching this rule; return the end of its alert if one ran."""
        rule = self.rules.pop(name)
        return _happenings(name, rule, rule.machine.finish(at))

    def veto(self, name: str) -> None:
        """Take back the alert of this rule that has just started: the second look denies it."""
        self.rules[name].machine.veto()
        self.rules[name].visits.take_back()

    def lost(self, at: Arrival) -> list[Happening]:
        """End all alerts if no sample came for longer than even a still picture takes."""
        gap_s = max((rule.machine.rule.longest_s for rule in self.rules.values()), default=0.0)
        if self._last_at is None or at.monotonic - self._last_at <= gap_s:
            return []
        self._last_at = None
        for rule in self.rules.values():
            rule.margin = None
        return self.finish(at)

    def finish(self, at: Arrival) -> list[Happening]:
        """End all alerts."""
        return [
            happening
            for name, rule in self.rules.items()
            for happening in _happenings(name, rule, rule.machine.finish(at))
        ]

    def _forget_after_gap(self, at: Arrival, *, still: bool) -> None:
        """Empty the pools after a gap: what samples before it showed would alert again."""
        passed_s = math.inf if self._last_at is None else at.monotonic - self._last_at
        if not all(
            rule.machine.rule.together(passed_s, still=still) for rule in self.rules.values()
        ):
            self._pools = {}


def _happenings(name: str, rule: WatchedRule, transitions: list[Transition]) -> list[Happening]:
    if not transitions:
        return []  # as nearly always
    report = rule.calibration.report()
    return [
        Happening(
            prompt=name,
            sentence=rule.sentence,
            sentences=rule.plan.sentences,
            calibration=report,
            chance=rule.calibration.chance(transition.peak),
            levels=rule.calibration.levels(transition.peak),
            transition=transition,
            visit=rule.visit(transition),
        )
        for transition in transitions
    ]
