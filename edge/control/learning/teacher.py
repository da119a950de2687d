"""From what people said of a rule's alerts to other settings of that rule (``rules.sharpen``)."""

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
from edge.rules.text import TextEncoder, Tokenizer
from edge.scoring.open import Models

# A sum of rounded weights must still be one.
_DIGITS: Final = 6
# Of each kind: one alert alone can be left out of nothing.
_FEWEST: Final = 2


@dataclass(frozen=True, slots=True)
class Taught:
    """What a rule's alerts say.

    Attributes:
        record: Its new settings; None: nothing helps.
        lesson: What they, or the best that was tried, make of the alerts.
    """

    record: SharpenedConfig | None
    lesson: LessonRef


class FeedbackTeacher:
    """Teaches rules by their alerts.

    Args:
        models: Of the bundle.
        background: Of the configuration; None for the bundle's.
    """

    def __init__(self, models: Models, background: Sequence[str] | None) -> None:
        self._models = models
        self._background = background

    def teach(self, name: str, prompt: PromptConfig, shots: Shots) -> Taught | None:
        """Weigh what was said of a rule's alerts.

        With two right and two wrong alerts, the change that helps on alerts left out, if any does.
        With wrong ones alone nobody knows where events lie: the threshold goes over what was wrong.

        Args:
            name: Of the rule.
            prompt: The rule without what it was taught before.
            shots: One for each alert, each a group.

        Returns:
            None: there are too few.

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
        return Taught(record, LessonRef(right=right, wrong=wrong, before=before, after=after))


def _over(wrong: NDArray[np.float64], threshold: float, hysteresis: float) -> Taught:
    """A threshold over false alarms, by their margins [M]; none where they lie below it by now.

    Those below began while a learned threshold was lower: it follows by itself (``alerts.null``).
    """
    above = int((wrong >= threshold).sum())
    record = None
    if above:
        record = record_of(Sharpened(None, float(wrong.max()) + 10**-_DIGITS, hysteresis))
    limit = threshold if record is None else record.threshold
    before = OutcomeRef(threshold=threshold, right=0, wrong=above)
    after = OutcomeRef(threshold=limit, right=0, wrong=0)
    return Taught(record, LessonRef(right=0, wrong=len(wrong), before=before, after=after))


def rows_of(models: Models, bank: PromptBank, name: str, prompt: PromptConfig) -> Rows:
    """What the rule's margin is made of.

    Args:
        models: Of the bundle.
        bank: Compiled with the rule as it is without examples.
        name: Of the rule.
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
        encoder = TextEncoder(engine, Tokenizer(bundle.tokenizer(), spec), spec)
        texts, negatives = (
            sentence_rows(encoder, spec.templates, sentences)
            if sentences
            else np.zeros((0, len(spec.templates), dim), np.float32)
            for sentences in (prompt.text, prompt.negatives)
        )
    compiled = bank.prompts[bank.names.index(name)]
    return Rows(texts, negatives, bank.rows[compiled.against[len(prompt.negatives) :]])


def record_of(change: Sharpened) -> SharpenedConfig:
    """What goes into the configuration."""
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
