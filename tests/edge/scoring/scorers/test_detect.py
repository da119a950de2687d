"""The scorer of class P, on a tiny detector that finds squares by their colours."""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import tiny_detector as tiny
from engine_double import EngineDouble
from numpy.typing import NDArray
from present import present

from edge.errors import ConfigError, InferenceError
from edge.model.engines import Engine, EngineSettings, open_engine
from edge.rules.bank import CompiledPrompt, PromptBank
from edge.rules.text import Tokenizer
from edge.scoring.captions import CaptionEncoder
from edge.scoring.scorers.detect import DetectScorer
from edge.video.sample import Arrival, Sample

RED, GREEN = (220, 20, 20), (20, 200, 20)
ALL = slice(0, 0)


class Opened:
    """A text graph that counts how often it was opened and lent."""

    def __init__(self) -> None:
        self.times = 0
        self.open = False

    @contextmanager
    def __call__(self) -> Iterator[Engine]:
        engine = open_engine(
            "onnxruntime", tiny.tiny_detector_text().SerializeToString(), EngineSettings()
        )
        self.times += 1
        self.open = True
        yield engine
        self.open = False


@pytest.fixture
def text() -> Opened:
    return Opened()


@pytest.fixture
def scorer(text: Opened) -> DetectScorer:
    engine = open_engine(
        "onnxruntime", tiny.tiny_detector_model().SerializeToString(), EngineSettings()
    )
    spec = tiny.tiny_detector_facts().text
    tokenizer = Tokenizer(tiny.tiny_detector_tokenizer(), spec)
    return DetectScorer(engine, CaptionEncoder(text), tokenizer, spec)


def bank(*sentences: str) -> PromptBank:
    prompt = CompiledPrompt("any", "any", slice(0, len(sentences)), ALL, np.array([0]), None)
    return PromptBank((prompt,), sentences, np.zeros((len(sentences), 0), np.float32), (), "")


def sample(*colours: tuple[int, int, int]) -> Sample:
    """A grey picture with a square of each colour in a cell of its own."""
    picture = np.full((tiny.HEIGHT, tiny.WIDTH, 3), 128, np.uint8)
    for index, colour in enumerate(colours):
        picture[8:16, 16 * index : 16 * index + 8] = colour
    pixels = (picture.transpose(2, 0, 1) ^ 0x80).view(np.int8)
    return Sample("yard", 0, Arrival(0, 0, None), np.ascontiguousarray(pixels))


def test_each_sentence_scores_as_its_best_box(scorer: DetectScorer) -> None:
    asked = bank("a red square", "green", "blue")
    scored = scorer.score([sample(RED, GREEN), sample(GREEN), sample()], asked)
    answers = [present(answer) for answer in scored]
    found = np.stack([answer.cosines for answer in answers]) > 0.5
    assert found.tolist() == [[True, True, False], [False, True, False], [False, False, False]]
    assert all(answer.embedding is None for answer in answers)
    assert all(answer.cosines.dtype == np.float32 for answer in answers)


def test_a_sentence_of_two_prompts_scores_the_same_for_both(scorer: DetectScorer) -> None:
    (answer,) = scorer.score([sample(RED)], bank("red", "green", "red"))
    cosines = present(answer).cosines
    assert cosines[0] == cosines[2] > 0.9 > cosines[1]


def test_the_text_graph_runs_when_sentences_change_and_is_given_back(
    scorer: DetectScorer, text: Opened
) -> None:
    for _ in range(3):
        scorer.score([sample(RED)], bank("red", "green"))
    assert text.times == 1
    scorer.prepare(("blue",))
    assert (text.times, text.open) == (2, False)
    scorer.score([sample(RED)], bank("red", "green"))  # the one in use is still there
    scorer.score([sample(RED)], bank("blue"))
    assert text.times == 2


def test_sentences_that_do_not_fit_are_told_before_the_text_graph_is_opened(
    scorer: DetectScorer, text: Opened
) -> None:
    with pytest.raises(ConfigError, match="no room for the phrase"):
        scorer.prepare([f"a red square {color}" for color in ("red", "green", "blue", "a")])
    assert text.times == 0


def test_what_was_asked_before_stays_asked_after_a_refusal(scorer: DetectScorer) -> None:
    asked = bank("red")
    before = present(scorer.score([sample(RED)], asked)[0]).cosines
    with pytest.raises(ConfigError, match="expected a phrase"):
        scorer.prepare(["red", " "])
    assert present(scorer.score([sample(RED)], asked)[0]).cosines == before


def test_numbers_that_are_none_are_a_failure(scorer: DetectScorer) -> None:
    class Broken(EngineDouble):
        def run(self, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
            return {"logits": np.full((1, 2, 16), np.nan, np.float32)} | {
                "boxes": np.zeros((1, 2, 4), np.float32)
            }

    scorer._engine = Broken()
    with pytest.raises(InferenceError, match="finite"):
        scorer.score([dataclasses.replace(sample(RED))], bank("red"))
