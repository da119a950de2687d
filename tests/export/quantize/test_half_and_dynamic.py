"""FP16 and dynamic INT8: smaller, close, and safe where these types are not."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.quantize.dynamic import quantize_dynamic
from export.quantize.half import to_fp16
from export.quantize.qdq_rules import qdq_violations
from export.quantize.static import quantize_static

HALF = TensorProto.FLOAT16
RNG = np.random.default_rng(4)


def types(values: Any) -> list[tuple[str, int]]:
    return [(value.name, value.type.tensor_type.elem_type) for value in values]


def test_fp16_keeps_inputs_outputs_and_the_answer(
    vit: onnx.ModelProto,
    held_out: NDArray[np.int8],
    run: Callable[..., Any],
    worst: Callable[..., Any],
) -> None:
    half = to_fp16(vit)
    assert types(half.graph.input) == types(vit.graph.input)
    assert types(half.graph.output) == types(vit.graph.output)
    assert half.ByteSize() < 0.6 * vit.ByteSize()
    assert worst(run(half, held_out), run(vit, held_out)) > 0.9999


def test_an_int8_graph_becomes_fp16_around_its_int8_layers(
    vit: onnx.ModelProto,
    samples: list[dict[str, NDArray[np.int8]]],
    held_out: NDArray[np.int8],
    run: Callable[..., Any],
    worst: Callable[..., Any],
) -> None:
    int8 = quantize_static(vit, samples)
    half = to_fp16(int8)
    assert half.opset_import[0].version == 19
    scales = {tensor.name: tensor.data_type for tensor in half.graph.initializer}
    for node in half.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert scales[node.input[1]] == HALF
    assert qdq_violations(half) == []
    assert worst(run(half, held_out), run(int8, held_out)) > 0.999


def attention_like() -> onnx.ModelProto:
    """Two masks that add up under a softmax, and a normalization of large rows."""
    infinity = np.zeros((4, 4), np.float32)
    infinity[:, 2:] = -np.inf
    lowest = np.zeros((4, 4), np.float32)
    lowest[:, 2:] = np.finfo(np.float32).min
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["scores"]),
        helper.make_node("Add", ["scores", "infinity"], ["masked"]),
        helper.make_node("Add", ["masked", "lowest"], ["masked2"]),
        helper.make_node("Softmax", ["masked2"], ["p"], axis=-1),
        helper.make_node("Mul", ["p", "loud"], ["large"]),
        helper.make_node("LayerNormalization", ["large", "gain"], ["y"]),
    ]
    constants = {
        "weight": RNG.normal(size=(4, 4)).astype(np.float32), "infinity": infinity,
        "lowest": lowest, "loud": np.float32(2000), "gain": np.ones(4, np.float32),
    }  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "attention",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 4])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_minus_infinity_and_large_rows_survive_float16(run: Callable[..., Any]) -> None:
    model, value = attention_like(), RNG.normal(size=(4, 4)).astype(np.float32)
    half = to_fp16(model)
    found = run(half, value)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, run(model, value), atol=5e-3)
    made = {output: node for node in half.graph.node for output in node.output}
    for node in half.graph.node:
        if node.op_type in ("Softmax", "LayerNormalization"):
            cast = made[node.input[0]]
            assert (cast.op_type, cast.attribute[0].i) == ("Cast", TensorProto.FLOAT)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in half.graph.initializer}
    assert np.isfinite(stored["infinity"] + stored["lowest"]).all(), "in float16 as well"


@pytest.fixture(scope="module")
def text() -> onnx.ModelProto:
    """``input_ids`` [K,L]: a table, the mean of its rows, two linear layers, loud ones."""
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["words"]),
        helper.make_node("ReduceMean", ["words", "axis"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "first"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["positive"]),
        helper.make_node("Gemm", ["positive", "second", "bias"], ["embedding"]),
    ]
    constants = {
        "table": RNG.uniform(0.8, 1, (50, 256)).astype(np.float32),
        "axis": np.array([1]),
        "first": np.where(RNG.random((256, 256)) < 0.95, 0.1, -0.1).astype(np.float32),
        "second": np.where(RNG.random((256, 32)) < 0.95, 0.1, -0.1).astype(np.float32),
        "bias": RNG.normal(size=32).astype(np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "text",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["K", 6])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["K", 32])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_dynamic_int8_holds_the_linear_layers_and_nothing_else(text: onnx.ModelProto) -> None:
    dynamic = quantize_dynamic(text)
    kinds = Counter(node.op_type for node in dynamic.graph.node)
    assert (kinds["MatMulInteger"], kinds["MatMul"], kinds["Gemm"]) == (2, 0, 0)
    stored = {tensor.name: tensor.data_type for tensor in dynamic.graph.initializer}
    assert stored["table"] == TensorProto.FLOAT
    assert {node.domain for node in dynamic.graph.node} == {""}
    linear = 4 * (256 * 256 + 256 * 32)
    assert text.ByteSize() - dynamic.ByteSize() > 0.7 * linear
    assert not dynamic.metadata_props


def test_dynamic_int8_is_right_where_bytes_saturate(
    text: onnx.ModelProto, run: Callable[..., Any], run_openvino: Callable[..., Any]
) -> None:
    """Weights and activations as large as they can be; signed weights fail this on AVX2."""
    ids = RNG.integers(0, 50, (8, 6))
    expected, dynamic = run(text, ids), quantize_dynamic(text)
    for found in (run(dynamic, ids), run(dynamic, ids, exact=False), run_openvino(dynamic, ids)):
        assert np.abs(found / expected - 1).max() < 0.01


def test_the_graph_that_was_given_stays_as_it_was(text: onnx.ModelProto) -> None:
    before = text.SerializeToString()
    quantize_dynamic(text)
    to_fp16(text)
    assert text.SerializeToString() == before
    onnxruntime.InferenceSession(before)
