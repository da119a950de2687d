"""Running engines on inputs: what each kind of unsteady answer looks like."""

from collections.abc import Mapping

import numpy as np
import onnx
import onnx.parser
import pytest
from computed import CONE, DIM, INPUTS, NOISE, REFERENCES, ROWS, ComputedEngine, answering, unit

from edge.errors import ModelError
from edge.model.engines import EngineSettings, open_engine
from export.proof.agreement import Share
from export.proof.answers import ask
from export.proof.verify import measure_variant


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


def test_a_row_that_depends_on_its_neighbours_is_found() -> None:
    """As dynamic quantization does: the range is that of the whole batch."""

    def dynamic(pixels: np.ndarray) -> Mapping[str, np.ndarray]:
        rows = CONE[pixels[:, 0]]
        step = np.abs(rows).max() / 127
        return {"embedding": np.round(rows / step) * step}

    steadiness = measure_variant(ComputedEngine(dynamic), INPUTS, REFERENCES).steadiness
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

    steadiness = measure_variant(ComputedEngine(grouped), INPUTS, REFERENCES).steadiness
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
        _, steadiness = ask(
            ComputedEngine(leaking), {"pixels": INPUTS["pixels"][order]}, ("embedding",)
        )
        assert steadiness.neighbours == pytest.approx(0.1, abs=1e-6)
    _, steadiness = ask(ComputedEngine(leaking), {"pixels": INPUTS["pixels"][6:]}, ("embedding",))
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

    measured = measure_variant(ComputedEngine(moody), INPUTS, REFERENCES)
    assert measured.steadiness is not None
    assert measured.steadiness.repeat > 1e-4
    assert measured.main.cosines is not None
    assert measured.main.cosines.min() > 0.9999, "which no cosine shows"


def test_a_graph_of_one_input_a_call_is_never_given_more() -> None:
    engine = ComputedEngine(answering(CONE), batch=1)
    steadiness = measure_variant(engine, INPUTS, REFERENCES).steadiness
    assert steadiness is not None
    assert steadiness.batch is None
    assert engine.largest == 1


def test_shared_inputs_go_whole_into_each_call() -> None:
    sentences = unit(np.random.default_rng(5).standard_normal((5, DIM)))

    def head(pixels: np.ndarray, text: np.ndarray) -> Mapping[str, np.ndarray]:
        return {"cosine": CONE[pixels[:, 0]] @ text.T}

    references = {"cosine": CONE @ sentences.T}
    engine = ComputedEngine(head, outputs=("cosine",))
    measured = measure_variant(engine, INPUTS, references, shared={"text": sentences})
    assert measured.same_prompt is not None
    assert measured.same_prompt.share == Share(ROWS, ROWS)
    assert measured.finds_itself is None, "scores are no embedding"
    backwards = measure_variant(engine, INPUTS, references, shared={"text": sentences[::-1]})
    assert backwards.same_prompt is not None
    assert backwards.same_prompt.share.count < ROWS


def test_an_engine_without_the_output_is_refused_before_it_runs() -> None:
    engine = ComputedEngine(answering(CONE))
    with pytest.raises(ModelError, match="expected the outputs context, found no context"):
        measure_variant(engine, INPUTS, {"context": CONE})
    assert engine.largest == 0
