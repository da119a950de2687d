"""Embeds sentences: tokens first, then unit vectors by the bundle's text graph.

Letters in shapes: K texts, L tokens, D embedding.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, Protocol, Self

import numpy as np
from kitoken import Kitoken
from numpy.typing import NDArray

from edge.errors import ConfigError, ModelError
from edge.model.bundle.manifest import TextSpec
from edge.model.bundle.read import Bundle
from edge.model.engines.base import Engine
from edge.system.visible import is_visible

# Texts of one run of a graph that takes any number: few enough for a stop between two runs, and
# for the memory of their words.
_BATCH: Final = 32


class Tokenizer:
    """Turns sentences into rows of token ids."""

    def __init__(self, tokenizer_json: bytes, spec: TextSpec) -> None:
        """Read the bundle's ``tokenizer.json``.

        Raises:
            ModelError: The bytes are not a Hugging Face tokenizer file.
        """
        try:
            document = json.loads(tokenizer_json)
            _refuse_fatal(document["model"])
            # The file may ask for truncation and padding, which are left out: a truncated sentence
            # would alert for something else.
            plain = document | {"truncation": None, "padding": None, "post_processor": None}
            self._tokenizer = Kitoken.from_tokenizers(json.dumps(plain).encode())
            self._first, self._last = _frame(document.get("post_processor"))
            self._unknown = _unknown_id(document["model"])
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
            raise ModelError(
                f"expected a Hugging Face tokenizer.json in the bundle, found something else "
                f"({exc}): build the bundle again"
            ) from exc
        self._spec = spec

    def encode(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Tokenize K texts: int64 [K, L], each row padded to the context length.

        Raises:
            ConfigError: A text is blank, not Unicode, or longer than the model reads. No text is
                ever truncated.
        """
        rows = np.full((len(texts), self._spec.context_length), self._spec.pad_id, np.int64)
        for row, text in zip(rows, texts, strict=True):
            ids = self._ids(text)
            row[: len(ids)] = ids
        return rows

    def unknown(self, texts: Sequence[str]) -> list[str]:
        """Return the texts with a word for which the model has no token, and so no meaning.

        Raises:
            ConfigError: As ``encode``.
        """
        return [text for text in texts if self._unknown in self._ids(text)]

    def _ids(self, text: str) -> list[int]:
        if not is_visible(text):
            raise ConfigError(f"expected a sentence, found {text!r}: describe what the camera sees")
        try:
            text.encode()
        except UnicodeEncodeError as exc:
            raise ConfigError(f"expected Unicode text, found {text!a}") from exc
        # Words that look like special tokens ("[SEP]") stay words: prompts come from outside.
        ids = [*self._first, *self._tokenizer.encode(text), *self._last]
        allowed = self._spec.context_length
        if len(ids) > allowed:
            raise ConfigError(
                f"expected at most {allowed} tokens, found {len(ids)} in {text!r}: shorten the text"
            )
        return ids


def _refuse_fatal(model: Mapping[str, Any]) -> None:
    """Refuse what makes the tokenizer's library end the process, which nothing can catch.

    Raises:
        ValueError: The vocabulary is empty, or parts of words look like words.
    """
    if not model["vocab"]:
        raise ValueError("no vocabulary")
    # Without a type, the library takes a vocabulary without merges for one of WordPiece.
    pieces = isinstance(model["vocab"], Mapping) and "merges" not in model
    pieces = pieces or model.get("type") == "WordPiece"
    if pieces and not model.get("continuing_subword_prefix"):
        raise ValueError("no continuing_subword_prefix")


def _unknown_id(model: Mapping[str, Any]) -> int | None:
    """Id of the token that stands for what has none; None where every text has tokens."""
    vocabulary, token = model["vocab"], model.get("unk_token")
    if isinstance(vocabulary, Mapping):
        return None if token is None else vocabulary.get(token)
    return model.get("unk_id")


def _frame(post_processor: Mapping[str, Any] | None) -> tuple[list[int], list[int]]:
    """Special tokens that the tokenizer file puts before and after a single sentence.

    Raises:
        ValueError: The post-processor is not known here, or its tokens have no ids.
    """
    first, last = _stated_frame(post_processor)
    if not all(type(token) is int and 0 <= token < 2**31 for token in (*first, *last)):
        raise ValueError("special tokens with other ids than numbers")
    return first, last


def _stated_frame(post_processor: Mapping[str, Any] | None) -> tuple[list[Any], list[Any]]:
    match post_processor:
        case None | {"type": "ByteLevel"}:
            return [], []
        case {"type": "BertProcessing" | "RobertaProcessing", "cls": [_, first], "sep": [_, last]}:
            return [first], [last]
        case {"type": "TemplateProcessing", "single": pieces, "special_tokens": tokens}:
            names = [piece.get("SpecialToken", {}).get("id") for piece in pieces]
            ids = [[] if name is None else tokens[name]["ids"] for name in names]
            sentence = names.index(None)
            return [*chain(*ids[:sentence])], [*chain(*ids[sentence:])]
        case _:
            raise ValueError(f"unknown post_processor {post_processor!r:.80}")


@dataclass(frozen=True, slots=True, eq=False)
class TextEncoding:
    """What the text graph says about K texts.

    Attributes:
        embeddings: float32 [K, D], unit rows.
        coverage: float32 [K], 0..1: how well the model's concepts express each text; None where
            the model gives none.
        lengths: float32 [K]: length of each vector before it was made a unit vector; None where
            the model gives none.
        words: float32 [K, L, D]: unit row of each token, zero where there is no token; None where
            the model gives none.
    """

    embeddings: NDArray[np.float32]
    coverage: NDArray[np.float32] | None
    lengths: NDArray[np.float32] | None = None
    words: NDArray[np.float32] | None = None


class Encoder(Protocol):
    """Embeds texts."""

    def encode(self, texts: Sequence[str]) -> TextEncoding:
        """Embed K texts, K at least 1.

        Raises:
            ConfigError: A text cannot be tokenized.
            ModelError: The graph answered with a vector that has no direction.
            InferenceError: The engine failed.
        """
        ...

    def words(self, texts: Sequence[str]) -> NDArray[np.float32] | None:
        """Embed each token of K texts, as in ``TextEncoding.words``; errors as ``encode``."""
        ...


class TextEncoder:
    """Embeds texts with a tokenizer and an open text graph."""

    def __init__(self, engine: Engine, tokenizer: Tokenizer, spec: TextSpec) -> None:
        """Check that the engine is a text graph.

        Raises:
            ModelError: Its inputs or outputs are not those of docs/bundle-format.md.
        """
        inputs = {tensor.name: tensor.shape for tensor in engine.inputs}
        outputs = sorted(tensor.name for tensor in engine.outputs)
        length = spec.context_length
        match inputs:
            case {"input_ids": (batch, int() | None as found)} if found in (None, length):
                self._batch = batch
            case _:
                raise ModelError(
                    f"expected a text graph with the input 'input_ids' [K, {length}], found "
                    f"{inputs}: build the bundle again"
                )
        if len(inputs) > 1 or "embedding" not in outputs:
            raise ModelError(
                f"expected a text graph with one input and the output 'embedding', found inputs "
                f"{sorted(inputs)} and outputs {outputs}: build the bundle again"
            )
        self._has_words = "words" in outputs
        self._engine = engine
        self._tokenizer = tokenizer

    def encode(self, texts: Sequence[str]) -> TextEncoding:
        ids = self._tokenizer.encode(texts)
        outputs = [self._run(chunk) for chunk in self._chunks(ids)]
        embeddings = np.concatenate([output["embedding"] for output in outputs])[: len(ids)]
        coverage, lengths, words = (
            np.concatenate([output[name] for output in outputs])[: len(ids)]
            if name in outputs[0]
            else None
            for name in ("coverage", "length", "words")
        )
        return TextEncoding(unit_rows(embeddings), coverage, lengths, words)

    @classmethod
    def of(cls, bundle: Bundle, engine: Engine) -> Self:
        """Make the encoder of a bundle by its open text graph.

        Raises:
            ModelError: The engine is not a text graph, or the bundle's tokenizer cannot be read.
        """
        spec = bundle.manifest.text
        return cls(engine, Tokenizer(bundle.tokenizer(), spec), spec)

    def words(self, texts: Sequence[str]) -> NDArray[np.float32] | None:
        return self.encode(texts).words if self._has_words else None

    def _chunks(self, ids: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Split ``ids`` into the batches that the graph takes; a short one repeats its last row."""
        size = self._batch or min(len(ids), _BATCH)
        missing = -len(ids) % size
        filled = np.pad(ids, ((0, missing), (0, 0)), mode="edge")  # [K, L] -> [n * size, L]
        return np.split(filled, len(filled) // size)

    def _run(self, ids: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        return self._engine.run({"input_ids": ids})


def unit_rows(rows: NDArray[Any]) -> NDArray[np.float32]:
    """Scale ``rows`` [K, D] to length one, computing in double precision.

    Raises:
        ModelError: A row is zero or not finite: it points nowhere.
    """
    wide = rows.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not (lengths > 0).all():
        raise ModelError(
            "expected a vector with a direction from the text graph, found zeros or non-numbers: "
            "build the bundle again"
        )
    unit: NDArray[np.float32] = (wide / lengths).astype(np.float32)
    return unit
