"""FP16: smaller, close, and in float where the type has too few bits."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

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


def test_the_graph_that_was_given_stays_as_it_was(vit: onnx.ModelProto) -> None:
    before = vit.SerializeToString()
    to_fp16(vit)
    assert vit.SerializeToString() == before
    onnxruntime.InferenceSession(before)
