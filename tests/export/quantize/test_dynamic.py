"""Dynamic INT8: smaller, close, and right where bytes saturate."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.quantize.dynamic import quantize_dynamic

RNG = np.random.default_rng(4)


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
    assert text.SerializeToString() == before
    onnxruntime.InferenceSession(before)
