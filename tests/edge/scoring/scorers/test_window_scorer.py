"""Class C from samples to cosines, on real engines with a tiny model."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from engine_double import EngineDouble
from numpy.typing import NDArray
from present import present
from tiny_bundle import DIM, SIDE
from tiny_window import (
    FRAMES,
    head_reference,
    tiny_head_model,
    tiny_video_model,
    tiny_window_facts,
    video_reference,
)

from edge.errors import InferenceError, ModelError
from edge.model.bundle.contract import contract_of
from edge.model.bundle.manifest import Role
from edge.model.engines import Engine, EngineSettings, open_engine
from edge.model.engines.null import null_model
from edge.rules.bank import CompiledPrompt, PromptBank
from edge.scoring.scorers.base import Scored
from edge.scoring.scorers.window import WindowScorer
from edge.video.sample import Arrival, Sample

SETTINGS = EngineSettings()
LENGTHS = np.array([0.5, 3, 1.5], np.float32)


def open_both(kind: str) -> tuple[Engine, Engine]:
    return (
        open_engine(kind, tiny_video_model(), SETTINGS),
        open_engine(kind, tiny_head_model(), SETTINGS),
    )


@pytest.fixture(params=["onnxruntime", "openvino"])
def engines(request: pytest.FixtureRequest) -> Iterator[tuple[Engine, Engine]]:
    pytest.importorskip(request.param)
    video, head = open_both(request.param)
    yield video, head
    video.close()
    head.close()


@pytest.fixture
def scorer(engines: tuple[Engine, Engine]) -> WindowScorer:
    return WindowScorer(*engines, FRAMES)


def bank(lengths: np.ndarray | None = LENGTHS) -> PromptBank:
    rows = np.random.default_rng(3).standard_normal((3, DIM)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    prompt = CompiledPrompt("one", "one", slice(0, 1), slice(1, 1), np.array([1, 2]), None)
    return PromptBank((prompt,), ("a", "b", "c"), rows, (), "hash", lengths)


def samples(camera: str, count: int, seed: int = 0, start: float = 0.0) -> list[Sample]:
    draw = np.random.default_rng([seed, *camera.encode()])
    return [
        Sample(
            camera,
            number,
            Arrival(0, start + 0.5 * number, None),
            draw.integers(-128, 128, (3, SIDE, SIDE), np.int8),
        )
        for number in range(count)
    ]


def expected(bank: PromptBank, clip: list[Sample]) -> tuple[np.ndarray, np.ndarray]:
    embedding, context = video_reference(np.stack([sample.pixels for sample in clip])[None])
    text = bank.rows if bank.lengths is None else bank.rows * bank.lengths[:, None]
    return head_reference(embedding, context, text)[0], embedding[0]


def last(scorer: WindowScorer, bank: PromptBank, clip: list[Sample]) -> Scored:
    *_, answer = (scorer.score([sample], bank)[0] for sample in clip)
    assert answer is not None
    return answer


def test_a_camera_is_scored_from_its_tth_sample_on_with_each_sample(scorer: WindowScorer) -> None:
    given = samples("porch", 5)
    answers = [scorer.score([sample], bank())[0] for sample in given]
    assert [answer is not None for answer in answers] == [False, False, True, True, True]
    for newest, answer in enumerate(answers[2:], start=2):
        cosines, embedding = expected(bank(), given[newest - 2 : newest + 1])
        assert answer is not None
        assert answer.cosines == pytest.approx(cosines, abs=1e-5)
        assert answer.embedding == pytest.approx(embedding, abs=1e-5)


def test_cameras_have_windows_of_their_own(scorer: WindowScorer) -> None:
    porch, yard = samples("porch", 4), samples("yard", 3)
    scorer.score([porch[0]], bank())
    for both in zip(porch[1:], yard, strict=True):
        answers = scorer.score(both, bank())
        assert len(answers) == 2
        if both[0] is porch[2]:
            # One camera is ahead: only its sample has an answer, in its place.
            assert answers[0] is not None
            assert answers[1] is None
            assert answers[0].cosines == pytest.approx(expected(bank(), porch[:3])[0], abs=1e-5)
    for answer, clip in zip(answers, (porch[1:], yard), strict=True):
        assert answer is not None
        assert answer.cosines == pytest.approx(expected(bank(), clip)[0], abs=1e-5)


def test_the_order_of_the_frames_matters(scorer: WindowScorer) -> None:
    clip = samples("porch", FRAMES)
    backwards = [
        replace(sample, pixels=other.pixels)
        for sample, other in zip(clip, reversed(clip), strict=True)
    ]
    forward = last(scorer, bank(), clip)
    again = [
        replace(sample, arrival=Arrival(0, 100 + 0.5 * sample.sequence, None))
        for sample in backwards
    ]
    reverse = last(scorer, bank(), again)
    assert np.abs(forward.cosines - reverse.cosines).max() > 1e-3
    assert reverse.cosines == pytest.approx(expected(bank(), backwards)[0], abs=1e-5)


def test_the_length_of_a_sentence_s_vector_reaches_the_head(scorer: WindowScorer) -> None:
    clip = samples("porch", FRAMES)
    with_lengths = last(scorer, bank(), clip).cosines
    later = [replace(s, arrival=Arrival(0, 50 + 0.5 * s.sequence, None)) for s in clip]
    without = last(scorer, bank(None), later).cosines
    assert np.abs(with_lengths - without).max() > 1e-3
    assert without == pytest.approx(expected(bank(None), clip)[0], abs=1e-5)


def test_after_a_gap_there_is_no_answer_until_the_window_is_full_again(
    scorer: WindowScorer,
) -> None:
    last(scorer, bank(), samples("porch", FRAMES))
    after = samples("porch", FRAMES, seed=1, start=60)
    answers = [scorer.score([sample], bank())[0] for sample in after]
    assert [answer is not None for answer in answers] == [False, False, True]
    assert present(answers[-1]).cosines == pytest.approx(expected(bank(), after)[0], abs=1e-5)


def test_a_sample_of_another_size_is_an_inference_error_and_enters_no_window(
    scorer: WindowScorer,
) -> None:
    clip = samples("porch", FRAMES)
    scorer.score([clip[0]], bank())
    scorer.score([clip[1]], bank())
    with pytest.raises(InferenceError, match=r"porch: expected a sample int8 \[3, 8, 8\], found"):
        scorer.score([replace(clip[2], pixels=clip[2].pixels[:, :1, :1])], bank())
    answer = scorer.score([clip[2]], bank())[0]
    assert answer is not None
    assert answer.cosines == pytest.approx(expected(bank(), clip)[0], abs=1e-5)


def test_single_pictures_cannot_be_passed_off_as_a_clip(scorer: WindowScorer) -> None:
    pictures = np.zeros((FRAMES, 3, SIDE, SIDE), np.int8)
    with pytest.raises(InferenceError, match=r"expected shape \[\?, 3, 3, 8, 8\], found \[3, 3, 8"):
        scorer.encode(pictures)
    with pytest.raises(InferenceError, match="expected shape"):
        scorer.encode(pictures[None, :2])
    embedding, context = scorer.encode(pictures[None])
    assert (embedding.shape, context.shape) == ((1, DIM), (1, FRAMES, DIM))


@pytest.mark.parametrize("frames", [2, 4, 8])
def test_another_number_of_frames_than_the_graph_s_is_a_model_error(
    engines: tuple[Engine, Engine], frames: int
) -> None:
    with pytest.raises(
        ModelError, match=rf"expected .* pixels \[N, {frames}, 3, H, W\], found pixels \[\?, 3, 3"
    ):
        WindowScorer(*engines, frames)


def test_a_head_of_another_tower_is_a_model_error() -> None:
    pytest.importorskip("onnxruntime")
    video, head = open_both("onnxruntime")
    other = open_engine("onnxruntime", tiny_video_model(FRAMES + 1), SETTINGS)
    with pytest.raises(ModelError, match=r"gives \(embedding \[\?, 4\], context \[\?, 4, 4\]\)"):
        WindowScorer(other, head, FRAMES + 1)
    with pytest.raises(ModelError, match="expected a head"):
        WindowScorer(video, video, FRAMES)
    with pytest.raises(ModelError, match="expected a video graph"):
        WindowScorer(head, head, FRAMES)


class Broken(EngineDouble):
    """An engine whose answers are changed on their way out."""

    def __init__(self, engine: Engine, **changes: Any) -> None:
        self._engine = engine
        self._changes = changes
        self.inputs, self.outputs = engine.inputs, engine.outputs

    def run(self, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        answers = self._engine.run(tensors)
        return {
            name: self._changes.get(name, lambda a: a)(array) for name, array in answers.items()
        }


@pytest.mark.parametrize(
    ("video", "head", "message"),
    [
        ({"embedding": lambda a: a * np.nan}, {}, "expected finite embeddings"),
        ({"context": lambda a: a + np.inf}, {}, "expected finite embeddings"),
        ({}, {"cosine": lambda a: a * np.nan}, r"finite cosines \[1, 3\].*finite: False"),
        ({}, {"cosine": lambda a: a.T}, r"finite cosines \[1, 3\].*found \[3, 1\]"),
    ],
)
def test_answers_that_are_none_are_an_inference_error_and_the_next_sample_goes_on(
    video: dict[str, Any], head: dict[str, Any], message: str
) -> None:
    pytest.importorskip("onnxruntime")
    engines = open_both("onnxruntime")
    broken_video, broken_head = Broken(engines[0], **video), Broken(engines[1], **head)
    scorer = WindowScorer(broken_video, broken_head, FRAMES)
    clip = samples("porch", FRAMES + 1)
    for sample in clip[:2]:
        assert scorer.score([sample], bank()) == [None]
    with pytest.raises(InferenceError, match=message):
        scorer.score([clip[2]], bank())
    broken_video._changes, broken_head._changes = {}, {}
    answer = scorer.score([clip[3]], bank())[0]
    assert answer is not None
    assert answer.cosines == pytest.approx(expected(bank(), clip[1:])[0], abs=1e-5)


def test_the_null_engine_scores_clips_too() -> None:
    facts = tiny_window_facts()

    def opened(role: Role) -> Engine:
        spec = contract_of(facts, role)
        return open_engine("null", null_model(spec.inputs, spec.outputs), SETTINGS)

    scorer = WindowScorer(opened("video"), opened("head"), FRAMES)
    answer = last(scorer, bank(), samples("porch", FRAMES))
    assert answer.cosines.shape == (3,)
    assert answer.embedding is not None
    assert answer.embedding.shape == (DIM,)
