"""A text model small enough to check by hand: one random vector per word, added up.

And no test knows the secrets of another: a password ``false`` would mask words of all others.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import tokenizers
from engine_double import EngineDouble
from numpy.typing import NDArray

from edge.model.bundle.manifest import TextSpec
from edge.model.engines.base import TensorSpec
from edge.rules.text import TextEncoder, Tokenizer
from edge.system import redact

TEXT = "a photo picture of the fence yard empty person dog car road climbs red street at night ."
WORDS = [*TEXT.split(), "no", "without", "nobody", "helmet", "cat", "tree"]
DIM = 16
TEMPLATES = ("a photo of {}.", "a picture of the {}.", "{}")


@pytest.fixture(autouse=True)
def _no_secrets_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact, "_secrets", set())
    monkeypatch.setattr(redact, "_any_secret", re.compile(r"(?!)"))


@pytest.fixture(scope="session")
def tokenizer_json() -> bytes:
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3}
    vocabulary |= {word: len(vocabulary) + index for index, word in enumerate(WORDS)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_truncation(8)  # a real file asks for it: we must not obey
    tokenizer.enable_padding(length=16)
    return tokenizer.to_str().encode()


@pytest.fixture
def spec() -> TextSpec:
    return TextSpec(context_length=12, pad_id=0, templates=TEMPLATES, background=("empty yard",))


class WordSum(EngineDouble):
    """An engine whose graph adds up one vector per word; ``batch`` rows per run, None for any."""

    def __init__(
        self,
        batch: int | None = None,
        *,
        coverage: bool = False,
        length: bool = False,
        words: bool = False,
    ) -> None:
        self.inputs = (TensorSpec("input_ids", "int64", (batch, 12)),)
        self.outputs = (TensorSpec("embedding", "float32", (batch, DIM)),)
        if coverage:
            self.outputs += (TensorSpec("coverage", "float32", (batch,)),)
        if length:
            self.outputs += (TensorSpec("length", "float32", (batch,)),)
        if words:
            self.outputs += (TensorSpec("words", "float32", (batch, 12, DIM)),)
        self._batch = batch
        self.table = np.random.default_rng(7).normal(size=(4 + len(WORDS), DIM))
        self.table[[0, 2, 3]] = 0  # padding and the ends say nothing

    def run(self, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        ids = tensors["input_ids"]
        assert ids.dtype == np.int64
        assert self._batch in (None, len(ids))
        sums = self.table[ids].sum(axis=1)
        unit = sums / np.linalg.norm(sums, axis=1, keepdims=True)
        known = (ids > 3).sum(axis=1) / (ids > 0).sum(axis=1)
        results = {
            "embedding": unit.astype(np.float32),
            "coverage": known.astype(np.float32),
            "length": np.linalg.norm(sums, axis=1).astype(np.float32),
            "words": self.table[ids].astype(np.float32),
        }
        return {spec.name: results[spec.name] for spec in self.outputs}


@pytest.fixture
def encoder_of(tokenizer_json: bytes, spec: TextSpec) -> Callable[..., TextEncoder]:
    """Makes an encoder over ``WordSum``, given that engine's arguments."""

    def make(batch: int | None = None, **outputs: bool) -> TextEncoder:
        return TextEncoder(WordSum(batch, **outputs), Tokenizer(tokenizer_json, spec), spec)

    return make


@pytest.fixture
def encoder(encoder_of: Callable[..., TextEncoder]) -> TextEncoder:
    return encoder_of()


@pytest.fixture(scope="session")
def token_ids(tokenizer_json: bytes) -> dict[str, int]:
    return json.loads(tokenizer_json)["model"]["vocab"]
