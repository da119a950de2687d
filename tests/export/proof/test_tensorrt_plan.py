"""What TensorRT for RTX makes of small quantized graphs, built without a GPU."""

import ctypes
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from qdq_graph import DIM, LAYERS, node, qdq_graph, set_constant

from edge.errors import EngineUnavailable, ModelError
from export.proof import tensorrt_plan
from export.proof.tensorrt_plan import CAPABILITIES, EnginePlan, parse_layers, plan
from export.quantize.qdq_rules import qdq_violations


@pytest.fixture(autouse=True)
def runtime() -> None:
    pytest.importorskip("tensorrt_rtx")


def in_process(model: onnx.ModelProto, capability: str = "SM86") -> EnginePlan:
    """Spare a test the second of a new process."""
    return tensorrt_plan._build(model.SerializeToString(), capability)


def test_every_layer_of_a_graph_that_keeps_the_rules_runs_in_int8() -> None:
    model = qdq_graph()
    made = plan(model.SerializeToString())
    assert made.layers == LAYERS
    assert made.int8_layers == LAYERS
    assert made.float_layers == ()
    assert made.kinds["correlation Int8 x Int8 -> Float"] == 1
    # Query, key and value may share kernels; attention itself multiplies twice.
    assert 5 <= made.kinds["gemm Int8 x Int8 -> Float"] <= 7
    assert made.builder.startswith("tensorrt_rtx 1.")
    assert made.capability == "SM86"
    assert made.engine_bytes > 10_000
    assert 0 < made.parse_s < 30
    assert 0 < made.build_s < 60


def test_a_convolution_with_scales_on_the_wrong_axis_is_seen_to_run_in_float() -> None:
    """TensorRT says nothing about it; the rules do."""
    model = qdq_graph(conv_axis=1)
    made = in_process(model)
    assert made.float_layers == ("patch",)
    assert made.int8_layers == LAYERS[1:]
    assert made.kinds["correlation Float x Float -> Float"] == 1
    assert [found.node for found in qdq_violations(model)] == ["patch"]


def list_of_one(model: onnx.ModelProto) -> None:
    set_constant(model, "picture_scale", np.full(1, 1 / 64, np.float32))


def per_channel(model: onnx.ModelProto) -> None:
    set_constant(model, "relu_scale", np.full(64, 0.02, np.float32))
    set_constant(model, "relu_zero", np.zeros(64, np.int8))


def weight_only(model: onnx.ModelProto) -> None:
    node(model, "fc").input[0] = "mean"


@pytest.mark.parametrize(
    ("spoil", "lost"), [(list_of_one, "patch"), (per_channel, "proj"), (weight_only, "fc")]
)
def test_other_mistakes_that_tensorrt_answers_with_float_are_named_by_the_rules_too(
    spoil: Callable[[onnx.ModelProto], None], lost: str
) -> None:
    model = qdq_graph(batch=1)
    spoil(model)
    assert in_process(model).float_layers == (lost,)
    assert qdq_violations(model)


def unsigned(model: onnx.ModelProto) -> None:
    set_constant(model, "relu_zero", np.uint8(128))


def zero_point(model: onnx.ModelProto) -> None:
    set_constant(model, "relu_zero", np.int8(3))


def zero_scale(model: onnx.ModelProto) -> None:
    set_constant(model, "fc_w_scale", np.zeros(64, np.float32))


def int32_bias(model: onnx.ModelProto) -> None:
    set_constant(model, "fc_bias", np.ones(64, np.int32))
    model.graph.initializer.append(numpy_helper.from_array(np.array(0.1, np.float32), "bias_scale"))
    bias = helper.make_node("DequantizeLinear", ["fc_bias", "bias_scale"], ["bias"], name="bias")
    model.graph.node.insert(0, bias)
    node(model, "fc").input[2] = "bias"


def foreign(model: onnx.ModelProto) -> None:
    node(model, "relu").op_type = "QuickGelu"
    node(model, "relu").domain = "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def dynamic(model: onnx.ModelProto) -> None:
    outputs = ["a", "b", "c"]
    model.graph.node.append(helper.make_node("DynamicQuantizeLinear", ["relu"], outputs, name="dq"))


def antialias(model: onnx.ModelProto) -> None:
    scales = numpy_helper.from_array(np.array([1, 1, 0.5, 0.5], np.float32), "half")
    model.graph.initializer.append(scales)
    resize = helper.make_node(
        "Resize", ["patch", "", "half"], ["a"], name="resize", mode="linear", antialias=1
    )
    model.graph.node.append(resize)


def int8_constant(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.array(-128, np.int8), "black"))
    model.graph.initializer.append(numpy_helper.from_array(np.array([0, 0, 1, 0] * 2), "pads"))
    pad = helper.make_node("Pad", ["pixels", "pads", "black"], ["padded"], name="pad")
    model.graph.node.insert(0, pad)
    node(model, "picture").input[0] = "padded"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (int8_constant, r"Quantized constant \(black\) is only allowed before DQ"),
        (dynamic, r'node "dq" \(DynamicQuantizeLinear\): .*; quantize it with static Q/DQ'),
        (antialias, r'node "resize" \(Resize\): .*; resize before the graph'),
        (unsigned, r'node "relu_q" \(QuantizeLinear\): .*; quantize symmetrically to int8'),
        (zero_point, r'node "relu_q" \(QuantizeLinear\): .*Non-zero zero point is not supported'),
        (zero_scale, r'node "fc_w_dq" \(DequantizeLinear\): .*Scale coefficients must all be posi'),
        (int32_bias, r'node "bias" \(DequantizeLinear\): .*Int32'),
        (foreign, r'node "relu" \(QuickGelu\): .*Plugin not found.*; export it by operators that'),
    ],
)
def test_what_tensorrt_refuses_is_refused_with_the_node_and_by_the_rules_too(
    spoil: Callable[[onnx.ModelProto], None], message: str
) -> None:
    model = qdq_graph()
    spoil(model)
    with pytest.raises(ModelError, match=message):
        in_process(model)
    assert qdq_violations(model)


def test_nodes_without_names_are_told_apart_all_the_same() -> None:
    model = qdq_graph(batch=1, conv_axis=1)
    for unnamed in model.graph.node:
        unnamed.name = "same" if unnamed.op_type == "MatMul" else ""
    made = in_process(model)
    [lost] = made.float_layers
    assert lost.startswith("Conv_")
    assert len(made.int8_layers) == len(LAYERS) - 1


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_it_builds_for_gpus_that_are_not_here(capability: str) -> None:
    made = in_process(qdq_graph(batch=1), capability)
    assert made.capability == capability
    assert made.float_layers == ()


def attention(heads: int = 4, tokens: int = 64, size: int = 32) -> onnx.ModelProto:
    """Half-precision attention over ``heads``, as an export of a vision transformer has it."""
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT16, [1, heads, *shape])
        for name, shape in (("q", (tokens, size)), ("k", (size, tokens)), ("v", (tokens, size)))
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT16, [1, heads, tokens, size])
    root = numpy_helper.from_array(np.array(size**-0.25, np.float16), "root")
    nodes = [
        helper.make_node("Mul", ["q", "root"], ["qs"], name="qs"),
        helper.make_node("Mul", ["k", "root"], ["ks"], name="ks"),
        helper.make_node("MatMul", ["qs", "ks"], ["logits"], name="logits"),
        helper.make_node("Softmax", ["logits"], ["share"], name="share", axis=-1),
        helper.make_node("MatMul", ["share", "v"], ["y"], name="attended"),
    ]
    graph = helper.make_graph(nodes, "attention", inputs, [output], [root])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_attention_in_half_precision_is_one_kernel_and_in_float_it_is_not() -> None:
    half = in_process(attention())
    assert half.fused_attention == 1
    assert half.kinds["fused attention Half x Half x Half -> Half"] == 1
    assert half.layers == ()  # it has no weights
    assert in_process(qdq_graph(batch=1)).fused_attention == 0


def test_a_layer_whose_weight_is_known_while_building_is_no_layer() -> None:
    model = qdq_graph(batch=1)
    model.graph.initializer.append(numpy_helper.from_array(np.eye(DIM, dtype=np.float32), "eye"))
    folded = helper.make_node("MatMul", ["eye", "eye"], ["folded"], name="folded")
    model.graph.node.insert(0, folded)
    node(model, "embedding").input[0] = "turned"
    turn = helper.make_node("MatMul", ["proj", "folded"], ["turned"], name="turn")
    model.graph.node.insert(len(model.graph.node) - 1, turn)
    made = in_process(model)
    assert made.layers == (*LAYERS, "turn")
    assert made.float_layers == ("turn",)


def test_a_compiler_that_crashes_takes_only_its_own_process_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # string_at(1, 8) reads the memory at address 1.
    monkeypatch.setattr(tensorrt_plan, "_build", ctypes.string_at)
    with pytest.raises(ModelError, match="expected an engine, found its process dead"):
        plan(1, 8)  # type: ignore[arg-type]


def test_errors_come_back_from_the_process_as_they_are() -> None:
    with pytest.raises(ModelError, match="the graph: expected an ONNX model"):
        plan(b"junk")


def test_without_tensorrt_for_rtx_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt_plan, "find_spec", lambda _: None)
    with pytest.raises(EngineUnavailable, match="pip install tensorrt-rtx"):
        plan(b"")


@pytest.mark.parametrize("log", ["", "Layers:\nName: a, LayerType: gemm, and then something new"])
def test_a_log_of_another_form_is_no_empty_plan(log: str) -> None:
    with pytest.raises(ModelError, match="expected the builder's list of kernels"):
        parse_layers(log)
