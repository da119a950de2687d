"""The golden self-test: what passes, and what looks right but is not."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from engine_double import EngineDouble
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.model.bundle.golden import GoldenSet
from edge.model.engines import TensorSpec
from edge.model.selftest import MIN_SPREAD_RATIO, check

ROWS, DIM = 9, 16
PIXELS = np.arange(ROWS, dtype=np.int8)[:, None, None, None] * np.ones((1, 3, 2, 2), np.int8)


def unit(rows: NDArray[Any]) -> NDArray[np.float32]:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


# A narrow cone, as embeddings of real models form: each within 0.995 of their mean.
CONE = unit(np.eye(1, DIM) * 10 + np.random.default_rng(3).standard_normal((ROWS, DIM)) * 0.25)
GOLDEN = GoldenSet({"pixels": PIXELS}, {"embedding": CONE})


class Answers(EngineDouble):
    """An engine that answers row i with ``rows[i]``; a picture's first pixel says which it is."""

    inputs: tuple[TensorSpec, ...] = (TensorSpec("pixels", "int8", (None, 3, 2, 2)),)

    def __init__(self, rows: NDArray[Any]) -> None:
        self.rows = rows
        self.largest_batch = 0

    def run(self, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        pixels = tensors["pixels"]
        self.largest_batch = max(self.largest_batch, len(pixels))
        return {"embedding": self.rows[pixels[:, 0, 0, 0]]}


def test_the_reference_itself_is_perfect() -> None:
    engine = Answers(CONE)
    report = check(engine, "image", GOLDEN, 0.9999)
    assert (report.mean_cosine, report.min_cosine, report.spread_ratio) == pytest.approx((1, 1, 1))
    assert engine.largest_batch == 4


def test_one_bad_row_among_good_ones_is_found() -> None:
    rows = CONE.copy()
    rows[ROWS - 1] *= -1
    with pytest.raises(ModelError, match=r"cosine of at least 0\.7 .*found -1\.0000 \(mean 0\.77"):
        check(Answers(rows), "image", GOLDEN, 0.7)


def test_constant_answers_are_refused_though_their_cosine_is_high() -> None:
    constant = np.repeat(unit(CONE.mean(axis=0, keepdims=True)), ROWS, axis=0)
    cosines = (constant * CONE).sum(axis=1)
    assert cosines.min() > 0.99  # the cosine gate alone would let it pass
    with pytest.raises(ModelError, match=r"found 0\.000 of their spread .*hardly looks"):
        check(Answers(constant), "image", GOLDEN, 0.98)


def shrunk(factor: float) -> NDArray[np.float32]:
    """The references, drawn together towards their mean."""
    mean = CONE.mean(axis=0)
    return unit(mean + (CONE - mean) * factor)


def test_answers_that_move_too_little_are_refused() -> None:
    answers = Answers(shrunk(MIN_SPREAD_RATIO - 0.1))
    with pytest.raises(ModelError, match=r"found 0\.4\d* of their spread"):
        check(answers, "image", GOLDEN, 0.98)


def test_answers_that_move_enough_pass() -> None:
    report = check(Answers(shrunk(MIN_SPREAD_RATIO + 0.1)), "image", GOLDEN, 0.98)
    assert report.spread_ratio == pytest.approx(0.6, abs=0.02)


def test_a_golden_set_that_is_itself_constant_proves_nothing_and_is_refused() -> None:
    constant = np.repeat(CONE[:1], ROWS, axis=0)
    with pytest.raises(ModelError, match="could not tell a constant model; build the bundle again"):
        check(Answers(constant), "image", GoldenSet(GOLDEN.inputs, {"embedding": constant}), 0.98)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_answers_that_are_not_finite_are_refused(bad: float) -> None:
    rows = CONE.copy()
    rows[2, 3] = bad
    with pytest.raises(ModelError, match="expected finite embeddings"):
        check(Answers(rows), "image", GOLDEN, 0.9)


def test_zero_vectors_are_refused() -> None:
    with pytest.raises(ModelError, match="cosine"):
        check(Answers(np.zeros_like(CONE)), "image", GOLDEN, 0.9)


def test_answers_of_another_dimension_are_refused() -> None:
    with pytest.raises(ModelError, match=r"embeddings \[9, 16\], found \[9, 8\]"):
        check(Answers(CONE[:, :8]), "image", GOLDEN, 0.9)


class OneByOne(Answers):
    """A graph that takes one row a call."""

    inputs: tuple[TensorSpec, ...] = (TensorSpec("pixels", "int8", (1, 3, 2, 2)),)


def test_a_graph_of_one_row_is_asked_row_by_row() -> None:
    engine = OneByOne(CONE)
    assert check(engine, "image", GOLDEN, 0.9999).min_cosine == pytest.approx(1)
    assert engine.largest_batch == 1


class Detector(Answers):
    """Logits [G, Q, L] whose queries come in the order given."""

    inputs: tuple[TensorSpec, ...] = (TensorSpec("pixels", "int8", (1, 3, 2, 2)),)

    def run(self, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        row = tensors["pixels"][:, 0, 0, 0]
        return {"logits": self.rows[row], "boxes": np.zeros((1, 5, 4), np.float32)}


LOGITS = np.random.default_rng(5).standard_normal((ROWS, 5, 8)).astype(np.float32)
DETECTIONS = GoldenSet(
    {"pixels": PIXELS}, {"logits": LOGITS, "boxes": np.ones((ROWS, 5, 4), np.float32)}
)


def test_boxes_in_another_order_are_the_same_answer() -> None:
    shuffled = Detector(LOGITS[:, [3, 0, 4, 1, 2]])
    assert check(shuffled, "detector", DETECTIONS, 0.9999).min_cosine == pytest.approx(1)
    with pytest.raises(ModelError, match="cosine"):
        check(Detector(-LOGITS), "detector", DETECTIONS, 0.99)


def test_a_head_is_asked_once_with_all_its_sentences() -> None:
    class Head(Answers):
        def run(self, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
            return {"cosine": tensors["embedding"] @ tensors["text"].T}

    golden = GoldenSet({"embedding": CONE, "text": CONE[:4]}, {"cosine": CONE @ CONE[:4].T})
    assert check(Head(CONE), "head", golden, 0.9999).min_cosine == pytest.approx(1)


def test_the_worst_of_several_outputs_decides() -> None:
    class Video(Answers):
        def run(self, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
            found = super().run(tensors)["embedding"]
            return {"embedding": found, "context": -found[:, None]}

    golden = GoldenSet({"pixels": PIXELS}, {"embedding": CONE, "context": CONE[:, None]})
    with pytest.raises(ModelError, match="found -1"):
        check(Video(CONE), "video", golden, 0.9)
