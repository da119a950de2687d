"""Blocks in float: exactly those that need it, in an order that does not change."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tiny_tower import spoilt

from export.quantize.fallback import Judged, blocks_of, quantize_to_gate
from export.quantize.qdq import layers
from export.quantize.static import quantize_static

GATE = 0.998


@pytest.fixture(scope="module")
def gate_of(
    run: Callable[..., Any], worst: Callable[..., Any], held_out: NDArray[np.int8]
) -> Callable[..., Any]:
    """A judge against the float graph, and the graphs that it was asked about."""

    def gate_of(
        model: onnx.ModelProto, limit: float = GATE
    ) -> tuple[Callable[..., Any], list[Any]]:
        expected = run(model, held_out)
        calls = []

        def gate(quantized: onnx.ModelProto) -> Judged:
            calls.append(quantized)
            cosine = worst(run(quantized, held_out), expected)
            return Judged(cosine, cosine >= limit)

        return gate, calls

    return gate_of


def test_blocks_lie_between_normalizations(vit: onnx.ModelProto) -> None:
    blocks = blocks_of(vit)
    # The patches; in each of 3 layers attention (q, k, v, two products, out) and feed-forward; the
    # projection.
    assert [len(block) for block in blocks] == [1, 6, 2, 6, 2, 6, 2, 1]
    assert {node for block in blocks for node in block} == {
        layer.node.name for layer in layers(vit)
    }


def test_a_graph_without_normalizations_has_one_block_for_each_layer() -> None:
    nodes = [
        helper.make_node("MatMul", [f"x{i}", "weight"], [f"x{i + 1}"], name=f"linear{i}")
        for i in range(3)
    ]
    graph = helper.make_graph(
        nodes,
        "plain",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("x3", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(np.eye(4, dtype=np.float32), "weight")],
    )
    assert blocks_of(helper.make_model(graph)) == [("linear0",), ("linear1",), ("linear2",)]


def test_a_graph_that_passes_is_asked_once_and_stays_whole(
    vit: onnx.ModelProto, samples: list[dict[str, NDArray[np.int8]]], gate_of: Callable[..., Any]
) -> None:
    gate, calls = gate_of(vit)
    found = quantize_to_gate(vit, samples, gate)
    assert (found.passed, found.in_float, len(calls)) == (True, (), 1)
    assert found.model.SerializeToString() == quantize_static(vit, samples).SerializeToString()
    assert str(found).startswith("all 8 blocks in INT8, worst cosine 0.99")


# LayerNormalization 4 is the one before the feed-forward of layer 1, 5 before attention of layer 2.
@pytest.mark.parametrize(("normalization", "block"), [(4, 4), (5, 5)])
def test_the_block_that_spoils_the_graph_goes_back_to_float_and_no_other(
    vit: onnx.ModelProto,
    samples: list[dict[str, NDArray[np.int8]]],
    gate_of: Callable[..., Any],
    normalization: int,
    block: int,
) -> None:
    model = spoilt(vit, normalization)
    gate, calls = gate_of(model)
    found = quantize_to_gate(model, samples, gate)
    assert not gate(quantize_static(model, samples)).passed, "so there was something to do"
    [culprit] = found.in_float
    assert culprit.nodes == blocks_of(model)[block]
    assert culprit.cosine < GATE < found.cosine
    assert found.passed
    assert str(found).startswith(f"1 of 8 blocks in float, worst cosine {found.cosine:.4f}: ")
    assert len(calls) == 1 + 8 + 1 + 1
    left = {node.name for node in found.model.graph.node if node.op_type == "DequantizeLinear"}
    for node in found.model.graph.node:
        if node.name in culprit.nodes:
            assert not left & set(node.input)


def test_what_cannot_be_reached_ends_with_the_budget_and_says_so(
    vit: onnx.ModelProto, samples: list[dict[str, NDArray[np.int8]]], gate_of: Callable[..., Any]
) -> None:
    gate, calls = gate_of(vit, 1.1)
    found = quantize_to_gate(vit, samples, gate, max_in_float=0.25)
    assert (found.passed, len(found.in_float), found.blocks) == (False, 2, 8)
    assert len(calls) == 1 + 8 + 2
    assert found.in_float[0].cosine <= found.in_float[1].cosine
    again = quantize_to_gate(vit, samples, gate_of(vit, 1.1)[0], max_in_float=0.25)
    assert again.in_float == found.in_float
    assert again.model.SerializeToString() == found.model.SerializeToString()


def test_a_good_cosine_alone_does_not_end_it(
    vit: onnx.ModelProto, samples: list[dict[str, NDArray[np.int8]]], gate_of: Callable[..., Any]
) -> None:
    """The worst cosine is fine from the start; another check passes with two blocks in float."""
    gate, calls = gate_of(vit)

    def judge(quantized: onnx.ModelProto) -> Judged:
        cosine = gate(quantized).cosine
        left = sum(node.op_type == "QuantizeLinear" for node in quantized.graph.node)
        return Judged(cosine, left <= most)

    whole = quantize_static(vit, samples)
    most = sum(node.op_type == "QuantizeLinear" for node in whole.graph.node) - 4
    assert gate(whole).passed
    calls.clear()
    found = quantize_to_gate(vit, samples, judge)
    assert found.passed
    assert found.cosine >= GATE
    assert len(found.in_float) == len(calls) - 1 - 8 >= 1
