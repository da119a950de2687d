"""Captions that the text graph has answered before need no text graph."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_detector as tiny

from edge.model.engines import Engine, EngineSettings, open_engine
from edge.rules.caption import Caption, write_caption
from edge.rules.text import Tokenizer
from edge.scoring.captions import CaptionEncoder
from edge.system.cache_file import CacheFile

FACTS = ("model", "runtime")


class Kept:
    """A caption encoder that is made again and again; it counts when it opens the text graph."""

    def __init__(self, file: CacheFile) -> None:
        self.file = file
        self.opened = 0

    def encode(self, *captions: Caption, facts: tuple[str, ...] = FACTS) -> None:
        found = CaptionEncoder(self._open, facts, self.file)(captions)
        expected = CaptionEncoder(self._graph)(captions)
        assert [one.caption for one in found] == list(captions)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one.features, other.features)

    @contextmanager
    def _graph(self) -> Iterator[Engine]:
        text = tiny.tiny_detector_text().SerializeToString()
        yield open_engine("onnxruntime", text, EngineSettings())

    @contextmanager
    def _open(self) -> Iterator[Engine]:
        self.opened += 1
        with self._graph() as engine:
            yield engine


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(CacheFile(tmp_path / "sentences.db"))


def caption(*phrases: str) -> Caption:
    spec = tiny.tiny_detector_facts().text
    return write_caption(phrases, Tokenizer(tiny.tiny_detector_tokenizer(), spec), spec)


def test_the_answers_are_the_same_and_the_graph_is_not_opened_again(kept: Kept) -> None:
    kept.encode(caption("red", "green"), caption("blue"))
    assert kept.opened == 1
    kept.encode(caption("blue"))
    kept.encode(caption("red", "green"))
    assert kept.opened == 1
    kept.encode(caption("green", "red"), caption("blue"))
    assert kept.opened == 2


@pytest.mark.parametrize("facts", [("another model", "runtime"), ("model", "another runtime")])
def test_another_model_or_runtime_answers_anew(kept: Kept, facts: tuple[str, ...]) -> None:
    kept.encode(caption("red"))
    kept.encode(caption("red"), facts=facts)
    assert kept.opened == 2


@pytest.mark.parametrize("what", ["position_ids", "block_mask"])
def test_whatever_the_graph_is_given_decides(kept: Kept, what: str) -> None:
    one = caption("red", "green")
    kept.encode(one)
    kept.encode(replace(one, **{what: np.roll(getattr(one, what), 1)}))
    assert kept.opened == 2
