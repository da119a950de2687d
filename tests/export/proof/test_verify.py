"""Asking engines and comparing their answers: what each defect looks like."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from numpy.typing import NDArray
from tiny_bundle import tiny_golden, tiny_image_model

from edge.errors import InferenceError, ModelError
from edge.model.engines import EngineSettings, TensorSpec, open_engine
from export.proof.agreement import Prompts, Share
from export.proof.answers import Steadiness, ask
from export.proof.verify import compare, measure_variant

ROWS, DIM = 12, 16


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


# A narrow cone, as embeddings of real models form.
CONE = unit(np.eye(1, DIM) * 10 + np.random.default_rng(3).standard_normal((ROWS, DIM)) * 0.25)
NOISE = {"pixels": np.random.default_rng(2).integers(-128, 128, (8, 64)).astype(np.int8)}
INPUTS = {"pixels": np.arange(ROWS, dtype=np.int8)[:, None]}
REFERENCES = {"embedding": CONE}

Compute = Callable[..., Mapping[str, np.ndarray]]


class Fake:
    """An engine that computes with a Python function of its inputs."""

    name: str = "fake"
    runtime: str = "fake 1.0"
    device: str = "CPU"

    def __init__(
        self, compute: Compute, batch: int | None = None, outputs: tuple[str, ...] = ("embedding",)
    ) -> None:
        self.compute = compute
        self.inputs: tuple[TensorSpec, ...] = (TensorSpec("pixels", "int8", (batch, 1)),)
        self.outputs = tuple(TensorSpec(name, "float32", (None, DIM)) for name in outputs)
        self.largest = 0

    def run(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        self.largest = max(self.largest, len(tensors["pixels"]))
        return dict(self.compute(**tensors))

    def close(self) -> None:
        pass


def quantized_layer(ranges: str) -> bytes:
    """Int8 [N, 64] -> float32 [N, 16], rounded to 8 bits: each number's range fixed, or found."""
    rounded = {
        "fixed": "q = QuantizeLinear (h, scale, zero) embedding = DequantizeLinear (q, scale, zero)",
        "found": "q, s, z = DynamicQuantizeLinear (h) embedding = DequantizeLinear (q, s, z)",
    }[ranges]
    model = onnx.parser.parse_model(f"""
        <ir_version: 9, opset_import: ["" : 17]>
        layer (int8[N, 64] pixels) => (float[N, 16] embedding)
        <float scale = {{0.0625}}, uint8 zero = {{128}}>
        {{ x = Cast <to = 1> (pixels) h = MatMul (x, weight) {rounded} }}
    """)
    weight = np.random.default_rng(1).standard_normal((64, 16)).astype(np.float32) / 512
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "weight"))
    onnx.checker.check_model(model)
    return model.SerializeToString()


def answering(rows: np.ndarray) -> Compute:
    return lambda pixels: {"embedding": rows[pixels[:, 0]]}


def test_the_float_original_against_itself_loses_nothing() -> None:
    engine = Fake(answering(CONE))
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
    cosines = measure_variant(Fake(answering(rows)), INPUTS, REFERENCES).main.cosines
    assert cosines is not None
    assert cosines.min() == cosines[7] == pytest.approx(-1)
    assert cosines.mean() == pytest.approx(10 / 12)


def test_constant_answers_have_a_high_cosine_and_no_spread() -> None:
    constant = np.repeat(unit(CONE.mean(axis=0, keepdims=True)), ROWS, axis=0)
    measured = measure_variant(Fake(answering(constant)), INPUTS, REFERENCES)
    assert measured.main.cosines is not None
    assert measured.main.cosines.min() > 0.99
    assert measured.main.spread_ratio == 0


def test_a_row_that_depends_on_its_neighbours_is_found() -> None:
    """As dynamic quantization does: the range is that of the whole batch."""

    def dynamic(pixels: np.ndarray) -> Mapping[str, np.ndarray]:
        rows = CONE[pixels[:, 0]]
        step = np.abs(rows).max() / 127
        return {"embedding": np.round(rows / step) * step}

    steadiness = measure_variant(Fake(dynamic), INPUTS, REFERENCES).steadiness
    assert steadiness is not None
    assert steadiness.repeat == 0
    assert steadiness.neighbours is not None
    assert steadiness.neighbours > 1e-5
    assert steadiness.batch is not None
    assert steadiness.batch > 1e-5


def test_another_answer_in_a_batch_is_told_from_one_that_depends_on_neighbours() -> None:
    """As a runtime gives that adds in another order for another batch size."""

    def grouped(pixels: np.ndarray) -> Mapping[str, np.ndarray]:
        return {"embedding": CONE[pixels[:, 0]] + np.float32(0.01 * (len(pixels) > 1))}

    steadiness = measure_variant(Fake(grouped), INPUTS, REFERENCES).steadiness
    assert steadiness is not None
    assert (steadiness.repeat, steadiness.neighbours) == (0, 0)
    assert steadiness.batch == pytest.approx(0.01, abs=1e-6)


@pytest.mark.parametrize("leaking_row", range(4))
@pytest.mark.parametrize("offset", [-1, 1])
def test_a_row_that_leaks_into_the_one_beside_it_is_found(leaking_row: int, offset: int) -> None:
    """Whichever it is, and in whatever order they are asked."""

    def leaking(pixels: np.ndarray) -> Mapping[str, np.ndarray]:
        beside = np.roll(pixels, offset, axis=0)
        return {"embedding": CONE[pixels[:, 0]] + (0.1 * (beside == leaking_row)).astype("f4")}

    for order in ([0, 1, 2, 3], [3, 0, 1, 2], [2, 3, 0, 1], [1, 0, 3, 2]):
        _, steadiness = ask(Fake(leaking), {"pixels": INPUTS["pixels"][order]}, ("embedding",))
        assert steadiness.neighbours == pytest.approx(0.1, abs=1e-6)
    _, steadiness = ask(Fake(leaking), {"pixels": INPUTS["pixels"][6:]}, ("embedding",))
    assert steadiness.neighbours == 0


@pytest.mark.parametrize("kind", ["onnxruntime", "openvino"])
def test_a_real_layer_with_its_ranges_in_the_file_depends_on_no_neighbour(kind: str) -> None:
    engine = open_engine(kind, quantized_layer("fixed"), EngineSettings())
    assert ask(engine, NOISE, ("embedding",))[1].neighbours == 0
    engine.close()


def test_a_real_layer_that_finds_its_range_in_the_batch_is_found() -> None:
    engine = open_engine("onnxruntime", quantized_layer("found"), EngineSettings())
    neighbours = ask(engine, NOISE, ("embedding",))[1].neighbours
    assert neighbours is not None
    assert neighbours > 1e-3
    engine.close()


def test_an_engine_that_changes_its_mind_is_found() -> None:
    noise = np.random.default_rng(0)

    def moody(pixels: np.ndarray) -> Mapping[str, np.ndarray]:
        rows = CONE[pixels[:, 0]]
        return {"embedding": rows + noise.normal(0, 1e-3, rows.shape).astype(np.float32)}

    measured = measure_variant(Fake(moody), INPUTS, REFERENCES)
    assert measured.steadiness is not None
    assert measured.steadiness.repeat > 1e-4
    assert measured.main.cosines is not None
    assert measured.main.cosines.min() > 0.9999, "which no cosine shows"


def test_a_graph_of_one_input_a_call_is_never_given_more() -> None:
    engine = Fake(answering(CONE), batch=1)
    steadiness = measure_variant(engine, INPUTS, REFERENCES).steadiness
    assert steadiness is not None
    assert steadiness.batch is None
    assert engine.largest == 1


def test_shared_inputs_go_whole_into_each_call() -> None:
    sentences = unit(np.random.default_rng(5).standard_normal((5, DIM)))

    def head(pixels: np.ndarray, text: np.ndarray) -> Mapping[str, np.ndarray]:
        return {"cosine": CONE[pixels[:, 0]] @ text.T}

    references = {"cosine": CONE @ sentences.T}
    engine = Fake(head, outputs=("cosine",))
    measured = measure_variant(engine, INPUTS, references, shared={"text": sentences})
    assert measured.same_prompt is not None
    assert measured.same_prompt.share == Share(ROWS, ROWS)
    assert measured.finds_itself is None, "scores are no embedding"
    backwards = measure_variant(engine, INPUTS, references, shared={"text": sentences[::-1]})
    assert backwards.same_prompt is not None
    assert backwards.same_prompt.share.count < ROWS


# Two prompts a hair apart: a shift that no cosine notices changes the choice.
CLOSE = unit(np.stack([np.eye(DIM)[0] + 0.02 * np.eye(DIM)[1], np.eye(DIM)[0]]))
PROMPTS = Prompts(("a cat", "a dog"), CLOSE, unit(np.eye(DIM)[15:16] + 0.1), -0.5)


def test_shifted_margins_keep_the_cosine_and_flip_the_choice() -> None:
    shifted = CONE.copy()
    shifted[:, 1] = np.where(CONE[:, 1] > 0, -0.01, 0.03)
    measured = measure_variant(Fake(answering(shifted)), INPUTS, REFERENCES, prompts=PROMPTS)
    assert measured.main.cosines is not None
    assert measured.main.cosines.mean() > 0.99
    assert measured.same_prompt is not None
    assert measured.same_prompt.share.value < 0.3
    assert 0 < measured.same_prompt.worst_lead < 0.01
    assert measured.margins is not None
    assert measured.margins.shape == (2, ROWS, 2)
    assert measured.alerts == Share(2 * ROWS, 2 * ROWS)
    unshifted = measure_variant(Fake(answering(CONE)), INPUTS, REFERENCES, prompts=PROMPTS)
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
        measure_variant(Fake(answering(rows)), INPUTS, REFERENCES)
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


def test_an_engine_without_the_output_is_refused_before_it_runs() -> None:
    engine = Fake(answering(CONE))
    with pytest.raises(ModelError, match="expected the outputs context, found no context"):
        measure_variant(engine, INPUTS, {"context": CONE})
    assert engine.largest == 0


def test_an_engine_that_fails_is_not_a_bad_variant() -> None:
    engine = open_engine("onnxruntime", tiny_image_model(), EngineSettings())
    with pytest.raises(InferenceError, match="expected dtype int8"):
        measure_variant(engine, {"pixels": np.zeros((2, 3, 8, 8))}, REFERENCES)
