"""Turns feedback on a rule's alerts into other settings of that rule (``rules.sharpen``)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.config.prompt import PromptConfig, SharpenedConfig
from edge.delivery.payloads import LessonRef, OutcomeRef
from edge.errors import ConfigError
from edge.rules.bank import PromptBank
from edge.rules.blend import Rows, margins
from edge.rules.fit import Sharpened
from edge.rules.sharpen import sharpen
from edge.rules.sheet import sentence_rows
from edge.rules.shots import Shots
from edge.rules.text import TextEncoder
from edge.scoring.open import Models

# A sum of rounded weights must still be one.
_DIGITS: Final = 6
# Fewest alerts of each kind: at least one must remain when another is held out.
_FEWEST: Final = 2


@dataclass(frozen=True, slots=True)
class TeachingResult:
    """Result of teaching a rule by its alerts.

    Attributes:
        record: New settings; None where no change helps.
        lesson: Effect on the alerts of the new settings, or of the best change that was tried.
    """

    record: SharpenedConfig | None
    lesson: LessonRef


class FeedbackTeacher:
    """Teaches rules by their alerts.

    Args:
        models: Models of the bundle.
        background: Background sentences of the configuration; None for the bundle's.
    """

    def __init__(self, models: Models, background: Sequence[str] | None) -> None:
        self._models = models
        self._background = background

    def teach(self, name: str, prompt: PromptConfig, shots: Shots) -> TeachingResult | None:
        """Find better settings by the feedback on a rule's alerts.

        With two right and two wrong alerts or more, the result is the change that helps on alerts
        that were held out, if any does. With wrong alerts alone, the margins of events are not
        known; then the threshold is raised above the wrong alerts.

        Args:
            name: Name of the rule.
            prompt: The rule without its settings from earlier feedback.
            shots: One shot for each alert, each a group of its own.

        Returns:
            The result; None where there is too little feedback.

        Raises:
            ConfigError: The rule has several clauses or a pool, or the model has no rows to weigh.
            ModelError: The text graph is not usable.
            EngineUnavailable: The device is gone.
        """
        right, wrong = int(shots.wanted.sum()), int((~shots.wanted).sum())
        if wrong < _FEWEST or 0 < right < _FEWEST:
            return None
        if prompt.pool is not None:
            raise ConfigError(
                f"prompt {name!r}: expected a rule of single samples, found a pool of "
                f"{prompt.pool.frames}: one embedding of an alert does not say what it saw"
            )
        with self._models.scoring.open_compiler() as compile_prompts:
            bank = compile_prompts({name: prompt}, self._background)
        rows = rows_of(self._models, bank, name, prompt)
        decision = self._models.bundle.manifest.decision
        threshold = decision.threshold if prompt.threshold is None else prompt.threshold
        if not right:
            return _over(margins(rows, shots.embeddings), threshold, decision.hysteresis)
        lesson = sharpen(rows, shots, threshold)
        record = None if lesson.change is None else record_of(lesson.change)
        before, after = (
            OutcomeRef(
                threshold=limit,
                right=round(proof.seen * right),
                wrong=round((1 - proof.quiet) * wrong),
            )
            for limit, proof in (
                (threshold, lesson.before),
                (threshold if record is None else record.threshold, lesson.after),
            )
        )
        return TeachingResult(
            record, LessonRef(right=right, wrong=wrong, before=before, after=after)
        )


def _over(wrong: NDArray[np.float64], threshold: float, hysteresis: float) -> TeachingResult:
    """Raise the threshold above false alarms, by their margins [M].

    Nothing changes where all of them lie below the threshold already. Such alarms began while a
    learned threshold was lower, and it rises by itself (``alerts.null``).
    """
    above = int((wrong >= threshold).sum())
    record = None
    if above:
        record = record_of(Sharpened(None, float(wrong.max()) + 10**-_DIGITS, hysteresis))
    limit = threshold if record is None else record.threshold
    before = OutcomeRef(threshold=threshold, right=0, wrong=above)
    after = OutcomeRef(threshold=limit, right=0, wrong=0)
    return TeachingResult(record, LessonRef(right=0, wrong=len(wrong), before=before, after=after))


def rows_of(models: Models, bank: PromptBank, name: str, prompt: PromptConfig) -> Rows:
    """Return the rows that the rule's margin is made of.

    Args:
        models: Models of the bundle.
        bank: Bank compiled from the rule as it is without examples.
        name: Name of the rule.
        prompt: The rule.

    Raises:
        ConfigError: The rule has several clauses, or the model has no rows to weigh.
        ModelError: The text graph is not usable.
        EngineUnavailable: The device is gone.
    """
    bundle = models.bundle
    if bundle.manifest.frame_class != "F":
        raise ConfigError(
            f"expected a model that embeds single frames (class F), found {bundle.manifest.name} "
            f"of class {bundle.manifest.frame_class}"
        )
    if name not in bank.names:
        raise ConfigError(f"prompt {name!r}: expected one clause, found time in {prompt.text[0]!r}")
    spec, dim = bundle.manifest.text, bundle.manifest.dim
    with models.open_text_engine() as engine:
        encoder = TextEncoder.of(bundle, engine)
        texts, negatives = (
            sentence_rows(encoder, spec.templates, sentences)
            if sentences
            else np.zeros((0, len(spec.templates), dim), np.float32)
            for sentences in (prompt.text, prompt.negatives)
        )
    compiled = bank.prompts[bank.names.index(name)]
    return Rows(texts, negatives, bank.rows[compiled.against[len(prompt.negatives) :]])


def record_of(change: Sharpened) -> SharpenedConfig:
    """Return a change as the configuration holds it."""
    threshold, hysteresis = (
        round(value, _DIGITS) for value in (change.threshold, change.hysteresis)
    )
    if change.weights is None:
        return SharpenedConfig(threshold=threshold, hysteresis=hysteresis)
    texts, templates, negatives = (
        tuple(round(float(weight), _DIGITS) for weight in weights)
        for weights in (change.weights.texts, change.weights.templates, change.weights.negatives)
    )
    return SharpenedConfig(
        texts=texts,
        templates=templates,
        negatives=negatives,
        threshold=threshold,
        hysteresis=hysteresis,
    )
