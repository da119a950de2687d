"""Sentences that the text graph has answered before need no text graph."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge.model.bundle.manifest import TextSpec
from edge.rules.kept_encoder import KeptEncoder
from edge.rules.text import TextEncoder, Tokenizer
from edge.system.cache_file import CacheFile


class Kept:
    """A kept encoder that is opened again and again; it counts when it opens the text graph."""

    def __init__(self, file: CacheFile, tokenizer: Tokenizer, encoder: TextEncoder) -> None:
        self.file, self.tokenizer, self.encoder = file, tokenizer, encoder
        self.opened = 0

    def encode(self, *texts: str, facts: tuple[str, ...] = ("model", "runtime")) -> None:
        with self.file.opened() as cache:
            encoder = KeptEncoder(cache, self.tokenizer, facts, self._open)
            found = encoder.encode(texts)
        expected = self.encoder.encode(texts)
        np.testing.assert_array_equal(found.embeddings, expected.embeddings)
        for one, other in ((found.coverage, expected.coverage), (found.lengths, expected.lengths)):
            assert (one is None) == (other is None)
            if one is not None and other is not None:
                np.testing.assert_array_equal(one, other)

    def _open(self) -> TextEncoder:
        self.opened += 1
        return self.encoder


@pytest.fixture
def kept(tmp_path: Path, tokenizer_json: bytes, spec: TextSpec, encoder: TextEncoder) -> Kept:
    return Kept(CacheFile(tmp_path / "sentences.db"), Tokenizer(tokenizer_json, spec), encoder)


def test_the_answers_are_the_same_and_the_graph_is_not_opened_again(kept: Kept) -> None:
    kept.encode("a dog", "the red car")
    kept.encode("the red car", "a dog", "the red car")
    assert kept.opened == 1
    kept.encode("a red car", "a dog")
    assert kept.opened == 2


@pytest.mark.parametrize("facts", [("another model", "runtime"), ("model", "another runtime")])
def test_another_model_or_runtime_answers_anew(kept: Kept, facts: tuple[str, ...]) -> None:
    kept.encode("a dog")
    kept.encode("a dog", facts=facts)
    assert kept.opened == 2


def test_what_else_the_graph_gives_is_kept(
    kept: Kept, encoder_of: Callable[..., TextEncoder]
) -> None:
    for outputs in (("coverage",), ("length",), ("coverage", "length")):
        kept.encoder = encoder_of(**dict.fromkeys(outputs, True))
        for _ in range(2):
            kept.encode("a dog", "a red car", facts=outputs)
    assert kept.opened == 3
