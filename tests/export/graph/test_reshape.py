"""Named axes, folded constants, opsets and one file: compared with the graph before."""

import numpy as np
import onnx
import pytest
from conv_graph import RNG, SIDE, WEIGHT, conv_model, model_of, run
from onnx import helper

from edge.errors import ModelError
from export.graph import reshape
from export.graph.reshape import fix_axes, name_axes, simplify, to_bytes, to_opset


def extents(value: onnx.ValueInfoProto) -> list[str | int]:
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def test_axes_are_named_and_fixed_through_the_whole_graph() -> None:
    named = name_axes(conv_model(), {"picture": {0: "rows"}, "found": {0: "rows"}})
    assert extents(named.graph.input[0])[0] == extents(named.graph.output[0])[0] == "rows"
    fixed = fix_axes(named, {"rows": 2})
    assert extents(fixed.graph.input[0]) == [2, 3, SIDE, SIDE]
    assert extents(fixed.graph.output[0]) == [2, 5, SIDE - 2, SIDE - 2]
    with pytest.raises(ModelError, match="named axes K, found rows"):
        fix_axes(named, {"K": 2})
    with pytest.raises(ModelError, match="an axis 4, found 4 axes"):
        name_axes(named, {"picture": {4: "N"}})
    with pytest.raises(ModelError, match="an input or output pixels, found picture, found"):
        name_axes(named, {"pixels": {0: "N"}})


def test_an_extent_that_the_graph_contradicts_is_refused() -> None:
    with pytest.raises(ModelError, match="expected a valid graph, found"):
        name_axes(conv_model(), {"found": {1: 7}})


def test_constants_are_folded_and_only_standard_ops_are_written() -> None:
    nodes = [
        helper.make_node("Mul", ["scale", "scale"], ["squared"]),
        helper.make_node("Identity", ["picture"], ["same"]),
        helper.make_node("MatMul", ["same", "weight"], ["projected"]),
        # Erf GELU, which ONNX Runtime would replace by an op of its own at a higher level.
        helper.make_node("Div", ["projected", "root"], ["d"]),
        helper.make_node("Erf", ["d"], ["e"]),
        helper.make_node("Add", ["e", "one"], ["e1"]),
        helper.make_node("Mul", ["projected", "e1"], ["m"]),
        helper.make_node("Mul", ["m", "squared"], ["found"]),
    ]
    constants = {
        "scale": np.float32(0.5), "weight": np.eye(4, dtype=np.float32),
        "root": np.float32(2**0.5), "one": np.float32(1),
    }  # fmt: skip
    model = model_of(nodes, ["N", 4], {name: np.asarray(v) for name, v in constants.items()})
    simple = simplify(model)
    assert len(simple.graph.node) == len(nodes) - 2
    assert [entry.domain for entry in simple.opset_import] == [""]
    names = [node.name for node in simple.graph.node]
    assert all(names)
    assert len(set(names)) == len(names)
    value = RNG.normal(size=(3, 4)).astype(np.float32)
    np.testing.assert_allclose(run(simple, value), run(model, value), atol=1e-6)


def test_a_graph_that_no_runtime_reads_is_a_model_error() -> None:
    broken = conv_model()
    broken.graph.node[0].op_type = "Convolve"
    with pytest.raises(ModelError, match="a graph that ONNX Runtime reads"):
        simplify(broken)


def test_a_newer_opset_computes_the_same() -> None:
    model = conv_model()
    newer = to_opset(model, 21)
    assert newer.opset_import[0].version == 21
    value = RNG.normal(size=(1, 3, SIDE, SIDE)).astype(np.float32)
    np.testing.assert_array_equal(run(newer, value), run(model, value))
    with pytest.raises(ModelError, match="expected ops that opset 999 has"):
        to_opset(model, 999)


def test_a_graph_beyond_protobufs_limit_is_refused_before_it_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert to_bytes(conv_model())
    monkeypatch.setattr(reshape, "_MAX_BYTES", 4 * WEIGHT.size)
    with pytest.raises(ModelError, match=r"below 2 GiB, found .* smaller checkpoint"):
        to_bytes(conv_model())
