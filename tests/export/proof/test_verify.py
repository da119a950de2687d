"""Comparing answers with references: what each defect looks like."""

from collections.abc import Mapping

import numpy as np
import pytest
from computed import CONE, DIM, INPUTS, REFERENCES, ROWS, ComputedEngine, answering, unit
from numpy.typing import NDArray
from tiny_bundle import tiny_golden, tiny_image_model

from edge.errors import InferenceError, ModelError
from edge.model.engines import EngineSettings, open_engine
from export.proof.agreement import Prompts, Share
from export.proof.answers import Steadiness
from export.proof.verify import compare, measure_variant


def test_the_float_original_against_itself_loses_nothing() -> None:
    engine = ComputedEngine(answering(CONE))
    measured = measure_variant(engine, INPUTS, REFERENCES)
    assert measured.inputs == ROWS
    assert measured.main.cosines == pytest.approx(np.ones(ROWS))
    assert (measured.main.max_abs, measured.main.spread_ratio) == (0, 1)
    assert measured.finds_itself == Share(ROWS, ROWS)
    assert measured.steadiness == Steadiness(repeat=0, neighbours=0, batch=0)
    assert engine.largest == 4, "rows one by one, but for the few asked together"


def test_a_real_engine_is_measured_as_its_arithmetic_says() -> None:
    golden = tiny_golden()["image"]
    rows, references = golden.inputs, golden.answers
    engine = open_engine("onnxruntime", tiny_image_model(), EngineSettings())
    measured = measure_variant(engine, rows, references)
    assert measured.main.max_abs < 1e-6
    assert measured.main.cosines is not None
    assert measured.main.cosines.min() > 0.999999
    assert measured.steadiness is not None
    assert measured.steadiness.batch is not None
    assert measured.steadiness.batch < 1e-6
    wrong = {"embedding": references["embedding"][[1, 2, 0]]}
    assert measure_variant(engine, rows, wrong).finds_itself == Share(0, 3)


def test_one_bad_row_among_many_is_seen_in_the_worst_not_in_the_mean() -> None:
    rows = CONE.copy()
    rows[7] = -rows[7]
    cosines = measure_variant(ComputedEngine(answering(rows)), INPUTS, REFERENCES).main.cosines
    assert cosines is not None
    assert cosines.min() == cosines[7] == pytest.approx(-1)
    assert cosines.mean() == pytest.approx(10 / 12)


def test_constant_answers_have_a_high_cosine_and_no_spread() -> None:
    constant = np.repeat(unit(CONE.mean(axis=0, keepdims=True)), ROWS, axis=0)
    measured = measure_variant(ComputedEngine(answering(constant)), INPUTS, REFERENCES)
    assert measured.main.cosines is not None
    assert measured.main.cosines.min() > 0.99
    assert measured.main.spread_ratio == 0


# Two prompts a hair apart: a shift that no cosine notices changes the choice.
CLOSE = unit(np.stack([np.eye(DIM)[0] + 0.02 * np.eye(DIM)[1], np.eye(DIM)[0]]))
PROMPTS = Prompts(("a cat", "a dog"), CLOSE, unit(np.eye(DIM)[15:16] + 0.1), -0.5)


def test_shifted_margins_keep_the_cosine_and_flip_the_choice() -> None:
    shifted = CONE.copy()
    shifted[:, 1] = np.where(CONE[:, 1] > 0, -0.01, 0.03)
    measured = measure_variant(
        ComputedEngine(answering(shifted)), INPUTS, REFERENCES, prompts=PROMPTS
    )
    assert measured.main.cosines is not None
    assert measured.main.cosines.mean() > 0.99
    assert measured.same_prompt is not None
    assert measured.same_prompt.share.value < 0.3
    assert 0 < measured.same_prompt.worst_lead < 0.01
    assert measured.margins is not None
    assert measured.margins.shape == (2, ROWS, 2)
    assert measured.alerts == Share(2 * ROWS, 2 * ROWS)
    unshifted = measure_variant(
        ComputedEngine(answering(CONE)), INPUTS, REFERENCES, prompts=PROMPTS
    )
    assert unshifted.same_prompt is not None
    assert unshifted.same_prompt.share == Share(ROWS, ROWS)


def detections(order: np.ndarray, floor: float = -1e4) -> dict[str, np.ndarray]:
    """Three pictures, six queries, four tokens of which the last is padding; queries in order."""
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 3, (3, 6, 4)).astype(np.float32)
    logits[..., 3] = floor
    boxes = rng.random((3, 6, 4), np.float32)
    return {"logits": logits[:, order], "boxes": boxes[:, order]}


def test_detections_in_another_order_are_the_same_set() -> None:
    reference, shuffled = detections(np.arange(6)), detections(np.arange(6)[::-1])

    def matched(
        found: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]
    ) -> tuple[int, int]:
        assert found["boxes"].shape == wanted["boxes"].shape == (1, 6, 4)
        known = {box.tobytes() for box in found["boxes"][0]}
        return sum(box.tobytes() in known for box in wanted["boxes"][0]), 6

    measured = compare(shuffled, reference, matched=matched)
    assert measured.matched == Share(18, 18)
    assert measured.outputs.keys() == {"logits"}
    assert measured.main.max_abs == 0
    moved = shuffled | {"boxes": shuffled["boxes"] + (np.arange(6)[:, None] == 2)}
    assert compare(moved, reference, matched=matched).matched == Share(15, 18)
    weaker = shuffled | {"logits": shuffled["logits"] - 1}
    assert compare(weaker, reference).main.max_abs > 0.05
    assert compare(weaker, reference).matched is None


def test_another_floor_of_what_is_no_token_is_no_difference() -> None:
    order = np.arange(6)
    assert compare(detections(order, -65504), detections(order)).main.max_abs == 0


def test_a_number_for_each_input_has_no_direction() -> None:
    coverage = np.linspace(0, 1, ROWS).astype(np.float32)
    measured = compare(
        {"embedding": CONE, "coverage": coverage + np.float32(0.25)},
        {"embedding": CONE, "coverage": coverage},
    )
    assert measured.outputs["coverage"].cosines is None
    assert measured.outputs["coverage"].max_abs == pytest.approx(0.25)
    assert measured.main is measured.outputs["embedding"]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_answers_that_are_not_finite_are_refused_in_words(bad: float) -> None:
    rows = CONE.copy()
    rows[[2, 5], 3] = bad
    with pytest.raises(ModelError, match=r"embedding: expected finite answers, .* 2 of 12 inputs"):
        measure_variant(ComputedEngine(answering(rows)), INPUTS, REFERENCES)
    with pytest.raises(ModelError, match="expected finite references"):
        compare(REFERENCES, {"embedding": rows})


@pytest.mark.parametrize(
    ("found", "references", "message"),
    [
        ({"embedding": CONE[:, :8]}, REFERENCES, r"of shape \[12, 16\], found \[12, 8\]"),
        ({"embedding": CONE[:5]}, REFERENCES, r"of shape \[12, 16\], found \[5, 16\]"),
        ({"vector": CONE}, REFERENCES, "expected an answer embedding, found vector"),
        ({"embedding": CONE[:1]}, {"embedding": CONE[:1]}, "two inputs or more"),
        (REFERENCES, {}, "two inputs or more, found none"),
        ({"embedding": CONE[[0] * 9]}, {"embedding": CONE[[0] * 9]}, "tell a constant graph"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    found: dict[str, NDArray[np.float32]], references: dict[str, NDArray[np.float32]], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        compare(found, references)


def test_an_engine_that_fails_is_not_a_bad_variant() -> None:
    engine = open_engine("onnxruntime", tiny_image_model(), EngineSettings())
    with pytest.raises(InferenceError, match="expected dtype int8"):
        measure_variant(engine, {"pixels": np.zeros((2, 3, 8, 8))}, REFERENCES)
