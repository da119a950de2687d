"""One camera's rules: a row of scores goes in, what happened comes out. Pure, like the events.

::

    cosines ─(pool)→ margins of clauses ─tracker→ one margin ─┬→ null distribution → threshold ┐
                                                              └──────────→ event machine ←─────┘
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.alerts.events import EventMachine, Rule, Transition
from edge.alerts.second_look import Finding
from edge.alerts.threshold import Calibration, CalibrationReport
from edge.config.models import PoolConfig
from edge.rules.bank import PromptBank
from edge.rules.plan import Plan
from edge.rules.temporal.pools import Pool, pool_of
from edge.rules.temporal.track import UNKNOWN, Tracker
from edge.scoring.margins import best_sentence, margins
from edge.scoring.scorers.base import Scored
from edge.video.sample import Arrival


@dataclass(frozen=True, slots=True)
class Happening:
    """A transition, and of which rule.

    Attributes:
        prompt: Name of the rule.
        sentence: Which of its sentences fits the newest frame best.
        sentences: All of them.
        calibration: Where the threshold comes from that the margin was compared with.
        chance: That ordinary frames reach the alert's peak within a day, 0..1; None: not known.
        levels: How far the peak is above the ordinary margin, by regime.
        finding: Of the second look; None where there was none.
    """

    prompt: str
    sentence: str
    sentences: tuple[str, ...]
    calibration: CalibrationReport
    chance: float | None
    levels: Mapping[str, float]
    transition: Transition
    finding: Finding | None = None


class WatchedRule:
    """One rule on one camera.

    Args:
        plan: What it looks for.
        rule: When its margin becomes an alert.
        calibration: Where its threshold comes from.
        base: Margin at which a clause counts as seen (the bundle's threshold): clauses are put
            together relative to it.
        pool: Over which samples its cosines are taken.
    """

    def __init__(
        self,
        plan: Plan,
        rule: Rule,
        calibration: Calibration,
        *,
        base: float,
        pool: PoolConfig | None = None,
    ) -> None:
        self.plan = plan
        self.calibration = calibration
        self.machine = EventMachine(rule)
        self.pool = pool
        self.on = True
        self.margin: float | None = None
        self.sentence = plan.text
        self._gap_s = rule.gap_s
        self._tracker = Tracker(plan.expression, rule.gap_s)
        self._base = base

    def step(
        self, margins: NDArray[np.float32], cosine: float, at: Arrival, regime: str
    ) -> list[Transition]:
        """Take the margins [clauses] of one sample, and the cosine to report."""
        relative = [float(margin) - self._base for margin in margins]
        composed = self._tracker.step(relative, at.monotonic)
        margin = self._base + composed
        self.margin = margin
        self.machine.rule = self.calibration.rule
        transitions = self.machine.step(margin, cosine, at)
        if composed > UNKNOWN:  # what cannot be told yet is not what ordinary frames do
            alerting = self.machine.alerting or bool(transitions)
            self.calibration.observe(margin, at.monotonic, alerting=alerting, regime=regime)
        return transitions

    def switch_off(self, at: Arrival) -> list[Transition]:
        """Be as if nothing had been seen; the end of an alert that ran."""
        self.on = False
        self.margin = None
        self._tracker = Tracker(self.plan.expression, self._gap_s)
        return self.machine.finish(at)


class Watch:
    """The state of all rules of one camera."""

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
        """Of the newest sample, by rule."""
        return {name: rule.margin for name, rule in self.rules.items() if rule.margin is not None}

    def step(
        self,
        bank: PromptBank,
        scored: Scored,
        cosine: NDArray[np.float32],
        margin: NDArray[np.float32],
        at: Arrival,
        regime: str = "",
    ) -> list[Happening]:
        """Take one sample; rules that are off are not stepped.

        Args:
            bank: What the scores were taken with.
            scored: Cosines [K] of every row of the bank, and the embedding.
            cosine: float32 [P], of the best sentence of each clause.
            margin: float32 [P].
            at: When the frame arrived.
            regime: What makes ordinary pictures differ: the word of ``scene/light.py`` (ADR 15).
        """
        self._forget_after_gap(at)
        self._last_at = at.monotonic
        pooled = self._pool(bank, scored)
        columns = {name: column for column, name in enumerate(bank.names)}
        happenings = []
        for name, rule in self.rules.items():
            own = [columns[clause] for clause in rule.plan.clauses if clause in columns]
            if not rule.on or len(own) != len(rule.plan.clauses):
                continue  # or the bank is not this rule's yet
            cosines, of_cosine, of_margin = scored.cosines, cosine, margin
            if rule.pool is not None:
                cosines, of_cosine, of_margin = pooled[rule.pool]
            transitions = rule.step(of_margin[own], float(of_cosine[own[-1]]), at, regime)
            if transitions and len(own) == 1:
                rule.sentence = best_sentence(bank, bank.prompts[own[0]], cosines)
            happenings += _told(name, rule, transitions)
        return happenings

    def switch(self, on: Collection[str], at: Arrival) -> list[Happening]:
        """Have these rules on and the others off; the ends of those that ran and are off now."""
        happenings = []
        for name, rule in self.rules.items():
            if name in on:
                rule.on = True
            elif rule.on:
                happenings += _told(name, rule, rule.switch_off(at))
        return happenings

    def drop(self, name: str, at: Arrival) -> list[Happening]:
        """Watch this rule no longer; its end, if it ran."""
        rule = self.rules.pop(name)
        return _told(name, rule, rule.machine.finish(at))

    def veto(self, name: str) -> None:
        """Take back the alert of this rule that has just started: a second look says no."""
        self.rules[name].machine.veto()

    def lost(self, at: Arrival) -> list[Happening]:
        """End what runs if no sample came for so long that nobody can know."""
        gap_s = max((rule.machine.rule.gap_s for rule in self.rules.values()), default=0.0)
        if self._last_at is None or at.monotonic - self._last_at <= gap_s:
            return []
        self._last_at = None
        for rule in self.rules.values():
            rule.margin = None
        return self.finish(at)

    def finish(self, at: Arrival) -> list[Happening]:
        """End what runs."""
        return [
            happening
            for name, rule in self.rules.items()
            for happening in _told(name, rule, rule.machine.finish(at))
        ]

    def _forget_after_gap(self, at: Arrival) -> None:
        """Samples from before a gap belong to no pool: what they showed would alert again."""
        gap_s = min((rule.machine.rule.gap_s for rule in self.rules.values()), default=0.0)
        if self._last_at is None or at.monotonic - self._last_at > gap_s:
            self._pools = {}

    def _pool(
        self, bank: PromptBank, scored: Scored
    ) -> dict[PoolConfig, tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]]:
        """Cosines [K], and of each clause cosine [P] and margin [P], by pool."""
        if self._pooled_with != bank.hash:
            self._pools = {}
            self._pooled_with = bank.hash
        pooled = {}
        for config in {rule.pool for rule in self.rules.values() if rule.pool is not None}:
            pool = self._pools.setdefault(config, pool_of(config.kind, config.frames, bank.words))
            cosines = pool.push(scored.cosines, scored.embedding)
            scores = margins(bank, cosines)
            pooled[config] = cosines, scores.cosine, scores.margin
        return pooled


def _told(name: str, rule: WatchedRule, transitions: list[Transition]) -> list[Happening]:
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
        )
        for transition in transitions
    ]
