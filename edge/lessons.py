"""From what people said of a rule's alerts to other settings of that rule (``edge.sharpen``)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge.blend import Rows, margins
from edge.config.models import PromptConfig, SharpenedConfig
from edge.errors import ConfigError
from edge.models import Models
from edge.prompts import PromptBank
from edge.sharpen import Proof, Sharpened, Shots, sharpen
from edge.sheet import sentence_rows
from edge.text import TextEncoder, Tokenizer

# A sum of rounded weights must still be one.
_DIGITS: Final = 6
# Of each kind: one alert alone can be left out of nothing.
_FEWEST: Final = 2


@dataclass(frozen=True, slots=True)
class Taught:
    """What a rule was taught.

    Attributes:
        record: Its new settings; None: nothing that helps.
        right: Alerts that were right.
        wrong: False alarms.
        before: How right the rule was on alerts left out, 0..1; None: not judged.
        after: How right it is with the record, likewise.
    """

    record: SharpenedConfig | None
    right: int
    wrong: int
    before: float | None = None
    after: float | None = None


class Teacher:
    """Teaches rules by their alerts.

    Args:
        models: Of the bundle.
        background: Of the configuration; None for the bundle's.
    """

    def __init__(self, models: Models, background: Sequence[str] | None) -> None:
        self._models = models
        self._background = background

    def teach(self, name: str, prompt: PromptConfig, shots: Shots) -> Taught:
        """Weigh what was said of a rule's alerts.

        With two right and two wrong alerts, the change that helps on alerts left out, if any does.
        With wrong ones alone nobody knows where events lie: the threshold goes over what was wrong.

        Args:
            name: Of the rule.
            prompt: The rule without what it was taught before.
            shots: A group for each alert.

        Raises:
            ConfigError: The rule has several clauses, or the model has no rows to weigh.
            ModelError: The text graph is not usable.
            EngineUnavailable: The device is gone.
        """
        right, wrong = int(shots.wanted.sum()), int((~shots.wanted).sum())
        if wrong < _FEWEST or 0 < right < _FEWEST:
            return Taught(None, right, wrong)
        with self._models.open_compiler() as compile_prompts:
            bank = compile_prompts({name: prompt}, self._background)
        rows = rows_of(self._models, bank, name, prompt)
        decision = self._models.bundle.manifest.decision
        threshold = decision.threshold if prompt.threshold is None else prompt.threshold
        if not right:
            highest = float(margins(rows, shots.embeddings).max())
            over = max(threshold, highest + 10**-_DIGITS)
            return Taught(record_of(Sharpened(None, over, decision.hysteresis)), right, wrong)
        lesson = sharpen(rows, shots, threshold)
        record = None if lesson.change is None else record_of(lesson.change)
        return Taught(record, right, wrong, *(_share(p) for p in (lesson.before, lesson.after)))


def _share(proof: Proof) -> float:
    return round(proof.rightness, 3)


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
