"""One camera's rules: a row of scores goes in, what happened comes out. Pure, like the events."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.events import EventMachine, Rule, Transition
from edge.frame import Arrival
from edge.prompts import PromptBank
from edge.scores import best_sentence


@dataclass(frozen=True, slots=True)
class Happening:
    """A transition, and of which rule.

    Attributes:
        prompt: Name of the rule.
        sentence: Which of its sentences fits the newest frame best.
        threshold: What the margin was compared with.
    """

    prompt: str
    sentence: str
    threshold: float
    transition: Transition


class Watch:
    """The state of all rules of one camera.

    Attributes:
        margins: Of the newest sample, by prompt.
    """

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self._machines = {prompt: EventMachine(rule) for prompt, rule in rules.items()}
        self._sentences: dict[str, str] = {}
        self._gap_s = max((rule.gap_s for rule in rules.values()), default=0.0)
        self._last_at: float | None = None
        self.margins: dict[str, float] = {}

    @property
    def alerting(self) -> bool:
        """Whether an alert is running."""
        return any(machine.alerting for machine in self._machines.values())

    def step(
        self,
        bank: PromptBank,
        cosines: NDArray[np.float32],
        cosine: NDArray[np.float32],
        margin: NDArray[np.float32],
        at: Arrival,
    ) -> list[Happening]:
        """Take one sample.

        Args:
            bank: What the scores were taken with.
            cosines: float32 [K], of every row of the bank.
            cosine: float32 [P], of the best sentence of each prompt.
            margin: float32 [P].
            at: When the frame arrived.
        """
        self._last_at = at.monotonic
        happenings = []
        for column, prompt in enumerate(bank.prompts):
            machine = self._machines.get(prompt.name)
            if machine is None:
                continue  # another camera's rule
            self.margins[prompt.name] = float(margin[column])
            transitions = machine.step(float(margin[column]), float(cosine[column]), at)
            if transitions:
                self._sentences[prompt.name] = best_sentence(bank, prompt, cosines)
            happenings += self._told(prompt.name, transitions)
        return happenings

    def lost(self, at: Arrival) -> list[Happening]:
        """End what runs if no sample came for so long that nobody can know."""
        if self._last_at is None or at.monotonic - self._last_at <= self._gap_s:
            return []
        self._last_at = None
        self.margins.clear()
        return self.finish(at)

    def finish(self, at: Arrival) -> list[Happening]:
        """End what runs."""
        return [
            happening
            for prompt, machine in self._machines.items()
            for happening in self._told(prompt, machine.finish(at))
        ]

    def _told(self, prompt: str, transitions: list[Transition]) -> list[Happening]:
        threshold = self._machines[prompt].rule.threshold
        return [
            Happening(prompt, self._sentences[prompt], threshold, transition)
            for transition in transitions
        ]
