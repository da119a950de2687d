"""Sentences that the text graph has answered before need no text graph."""

import socket
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.model.bundle.manifest import TextSpec
from edge.rules.kept_encoder import KeptEncoder
from edge.rules.text import TextEncoder, Tokenizer
from edge.system.cache_file import CacheFile
from edge.system.ending import Ended


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

    def words(self, *texts: str, facts: tuple[str, ...] = ("model", "runtime")) -> None:
        with self.file.opened() as cache:
            found = KeptEncoder(cache, self.tokenizer, facts, self._open).words(texts)
        expected = self.encoder.words(texts)
        assert (found is None) == (expected is None)
        if found is not None and expected is not None:
            np.testing.assert_array_equal(found, expected)

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


@pytest.mark.parametrize("has_words", [True, False])
def test_words_are_kept_too_and_that_there_are_none(
    kept: Kept, encoder_of: Callable[..., TextEncoder], has_words: bool
) -> None:
    kept.encoder = encoder_of(words=has_words)
    kept.encode("a dog", "the red car at night")
    for _ in range(2):
        kept.words("a dog", "the red car at night", "a dog")
    assert kept.opened == 2  # for the embeddings, and for the words
    kept.words("a cat", "a dog")
    assert kept.opened == 3
    kept.words("a dog", facts=("another model", "runtime"))
    assert kept.opened == 4


def test_an_end_in_the_middle_of_many_words_keeps_those_before(
    kept: Kept, encoder_of: Callable[..., TextEncoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [" ".join(words) for words in product(("red", "car", "dog"), repeat=4)]
    kept.encoder = encoder_of(words=True)
    answered: list[str] = []

    def ending(some: Sequence[str]) -> NDArray[np.float32] | None:
        if len(answered) > 50:
            raise Ended
        answered.extend(some)
        return kept.encoder.encode(some).words

    with monkeypatch.context() as patch:
        patch.setattr(kept.encoder, "words", ending)
        with pytest.raises(Ended):
            kept.words(*texts)
    assert 50 < len(answered) < len(texts)
    kept.opened = 0
    kept.words(*answered)
    assert kept.opened == 0
    kept.words(*texts)
    assert kept.opened == 1


def test_long_work_is_reported_to_the_log_and_to_systemd(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, kept.file.opened() as cache:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5)
        often = KeptEncoder(cache, kept.tokenizer, (), kept._open, report_s=0)
        often.encode(["a dog", "the dog"])
        often.encode(["a red car"])
        assert b"EXTEND_TIMEOUT_USEC=60000000" in systemd.recv(1000)
        assert b"2 new sentences" in systemd.recv(1000)
        assert "2 new sentences" in caplog.text
        caplog.clear()
        often.encode(["a dog"])  # it is kept
        KeptEncoder(cache, kept.tokenizer, (), kept._open).encode(["a cat"])  # soon done
        assert not caplog.text
