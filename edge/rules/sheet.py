"""Collects the rows of a prompt bank: each sentence in its templates, averaged or blended.

Letters in shapes: T templates, D embedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.config.prompt import PromptConfig
from edge.errors import ConfigError
from edge.model.bundle.manifest import TextSpec
from edge.rules.blend import blend
from edge.rules.plan import plan
from edge.rules.text import Encoder, TextEncoding, unit_rows


def sentence_rows(
    encoder: Encoder, templates: Sequence[str], sentences: Sequence[str]
) -> NDArray[np.float32]:
    """Embed each sentence in each template: float32 [sentences, T, D], unit rows.

    Raises:
        ConfigError: A sentence cannot be encoded.
        ModelError: The text graph gives vectors without a direction.
        InferenceError: The engine failed.
    """
    return np.stack([encoder.encode(_fill(templates, one)).embeddings for one in sentences])


@dataclass(frozen=True, slots=True)
class Blend:
    """Weights by which several sentences make one row (``edge.rules.fit``).

    Attributes:
        sentences: Weight of each sentence; they add up to 1.
        templates: Weight of each template; they add up to 1.
    """

    sentences: tuple[float, ...]
    templates: tuple[float, ...]


def blends_of(name: str, prompt: PromptConfig, spec: TextSpec) -> tuple[Blend | None, Blend | None]:
    """The blends of a rule's texts and of its negatives; None where they are not blended.

    Raises:
        ConfigError: The weights belong to other sentences or another bundle.
    """
    sharpened = prompt.sharpened
    if sharpened is None or not sharpened.texts:
        return None, None
    if len(plan(name, prompt).clauses) > 1:
        raise ConfigError(
            f"prompt {name!r}: expected one clause where there are weights, found time in its "
            "sentence: take sharpened out"
        )
    if len(sharpened.templates) != len(spec.templates):
        raise ConfigError(
            f"prompt {name!r}: expected a weight for each of the bundle's {len(spec.templates)} "
            f"templates, found {len(sharpened.templates)}: it was sharpened with another bundle; "
            "take sharpened out, or do it again"
        )
    return (
        Blend(sharpened.texts, sharpened.templates),
        Blend(sharpened.negatives, sharpened.templates),
    )


def _blended(encodings: Sequence[TextEncoding], weights: Blend) -> TextEncoding:
    """Blend several sentences, each in every template, into one row."""
    own, templates = np.array(weights.sentences), np.array(weights.templates)
    row = blend(np.stack([encoding.embeddings for encoding in encodings]), own, templates)
    coverage, lengths = (
        None if values[0] is None else np.array([own @ np.stack(values) @ templates], np.float32)
        for values in zip(*((one.coverage, one.lengths) for one in encodings), strict=True)
    )
    return TextEncoding(row[np.newaxis], coverage, lengths)


class Sheet:
    """The rows of a bank while they are collected."""

    def __init__(self, encoder: Encoder, templates: Sequence[str]) -> None:
        self._encoder = encoder
        self._templates = templates
        self.sentences: list[str] = []
        self.rows: list[NDArray[np.float32]] = []
        self.coverage: list[float] = []
        self.lengths: list[float] = []

    def add(self, owner: str, sentences: Sequence[str], blend: Blend | None = None) -> slice:
        """Append one row for each sentence, or one row of all, and return where the rows are.

        Args:
            owner: Whose sentences they are, for messages.
            sentences: Any number of sentences.
            blend: Weights that make one row of all; None: each sentence has a row.

        Raises:
            ConfigError: A sentence cannot be encoded.
            ModelError: The text graph gives vectors without a direction.
            InferenceError: The engine failed.
        """
        start = len(self.rows)
        encodings = [self._encode(owner, sentence) for sentence in sentences]
        if blend is not None and encodings:
            self._add(sentences[int(np.argmax(blend.sentences))], _blended(encodings, blend))
        else:
            for sentence, encoding in zip(sentences, encodings, strict=True):
                self._add(sentence, encoding)
        return slice(start, len(self.rows))

    def _encode(self, owner: str, sentence: str) -> TextEncoding:
        """The sentence in every template."""
        try:
            return self._encoder.encode(_fill(self._templates, sentence))
        except ConfigError as exc:
            raise ConfigError(f"{owner}: {exc}") from exc

    def _add(self, sentence: str, encoding: TextEncoding) -> None:
        mean = encoding.embeddings.mean(axis=0, keepdims=True, dtype=np.float64)
        self.rows.append(unit_rows(mean)[0])
        self.sentences.append(sentence)
        if encoding.coverage is not None:
            self.coverage.append(float(encoding.coverage.mean()))
        if encoding.lengths is not None:
            self.lengths.append(float(encoding.lengths.mean()))

    def read_only_lengths(self) -> NDArray[np.float32] | None:
        """Length of each row's own vector, float32 [rows]; None where the model gives none."""
        if not self.lengths:
            return None
        lengths = np.array(self.lengths, np.float32)
        lengths.setflags(write=False)
        return lengths


def _fill(templates: Sequence[str], sentence: str) -> list[str]:
    """Put ``sentence`` into every template; a template has its own full stop."""
    bare = sentence.strip().rstrip(".")
    if not bare:
        raise ConfigError(f"expected a sentence, found {sentence!r}: say what the camera sees")
    return [template.replace("{}", bare) for template in templates]
