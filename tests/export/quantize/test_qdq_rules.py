"""The rules of a quantized graph, each broken by itself."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from qdq_graph import node, qdq_graph, set_constant

from edge.errors import ModelError
from export.quantize.qdq_rules import RULES, qdq_violations, require_qdq_rules


def broken(spoil: Callable[[onnx.ModelProto], object]) -> list[tuple[str, str, str]]:
    model = qdq_graph()
    spoil(model)
    return [(found.node, found.rule, found.found) for found in qdq_violations(model)]


def test_the_graph_that_the_others_spoil_breaks_no_rule() -> None:
    assert qdq_violations(qdq_graph()) == []
    require_qdq_rules(qdq_graph())


@pytest.mark.parametrize(
    ("domain", "operator"), [("com.microsoft", "QuickGelu"), ("trt.plugins", "Gelu")]
)
def test_an_operator_of_somebody_else_is_named(domain: str, operator: str) -> None:
    def spoil(model: onnx.ModelProto) -> None:
        relu = node(model, "relu")
        relu.op_type, relu.domain = operator, domain

    assert broken(spoil) == [("relu", "an operator of ONNX itself", f"{domain}:{operator}")]


@pytest.mark.parametrize(
    "operator",
    ["DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "QLinearMatMul", "QLinearConv"],
)
def test_integer_operators_are_no_qdq(operator: str) -> None:
    def spoil(model: onnx.ModelProto) -> None:
        node(model, "relu").op_type = operator

    assert broken(spoil) == [("relu", "Q/DQ around float operators", operator)]


def test_resize_with_antialias_is_refused_and_without_it_is_not() -> None:
    def spoil(antialias: int) -> Callable[[onnx.ModelProto], None]:
        resize = helper.make_node("Resize", ["x"], ["y"], name="resize", antialias=antialias)
        return lambda model: model.graph.node.append(resize)

    assert broken(spoil(1)) == [("resize", "Resize without antialias", "antialias=1")]
    assert broken(spoil(0)) == []


def test_unsigned_activations_are_refused_at_both_ends() -> None:
    rule = "signed 8-bit integers"
    assert broken(lambda model: set_constant(model, "relu_zero", np.uint8(0))) == [
        ("relu_q", rule, "uint8"),
        ("relu_dq", rule, "uint8"),
    ]


def test_quantizing_without_a_zero_point_is_unsigned_by_the_specification() -> None:
    rule = ("relu_q", "signed 8-bit integers", "uint8")
    assert broken(lambda model: node(model, "relu_q").input.pop()) == [rule]

    def say_int8(model: onnx.ModelProto) -> None:
        quantize = node(model, "relu_q")
        quantize.input.pop()
        quantize.attribute.append(helper.make_attribute("output_dtype", TensorProto.INT8))

    assert broken(say_int8) == []


def test_dequantizing_needs_no_zero_point() -> None:
    def spoil(model: onnx.ModelProto) -> None:
        for name in ("relu_dq", "fc_w_dq", "picture"):
            node(model, name).input.pop()

    assert broken(spoil) == []


def test_unsigned_weights_are_refused() -> None:
    def spoil(model: onnx.ModelProto) -> None:
        set_constant(model, "fc_w", np.zeros((64, 32), np.uint8))
        node(model, "fc_w_dq").input.pop()

    assert broken(spoil) == [("fc_w_dq", "signed 8-bit integers", "uint8")]


def test_a_picture_of_unsigned_bytes_is_not_dequantized() -> None:
    def spoil(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
        node(model, "picture").input.pop()

    assert broken(spoil) == [("picture", "signed 8-bit integers", "uint8")]


def test_a_picture_may_come_through_a_cast() -> None:
    def spoil(model: onnx.ModelProto) -> None:
        picture = node(model, "picture")
        picture.op_type = "Cast"
        del picture.input[1:]
        picture.attribute.append(helper.make_attribute("to", TensorProto.FLOAT))

    assert broken(spoil) == []


def test_a_constant_of_8_bits_goes_nowhere_but_into_dequantize_linear() -> None:
    def spoil(model: onnx.ModelProto) -> None:
        pad = helper.make_node("Pad", ["pixels", "none", "black"], ["padded"], name="pad")
        model.graph.node.insert(0, pad)
        model.graph.initializer.append(numpy_helper.from_array(np.array(-128, np.int8), "black"))
        node(model, "picture").input[0] = "padded"

    rule = "8-bit constants before DequantizeLinear only"
    assert broken(spoil) == [("pad", rule, "black into Pad")]


def test_an_int32_bias_is_one_violation_only() -> None:
    def spoil(model: onnx.ModelProto) -> None:
        set_constant(model, "fc_bias", np.ones(64, np.int32))
        model.graph.initializer.append(
            numpy_helper.from_array(np.array(0.1, np.float32), "bias_scale")
        )
        dequantize = helper.make_node(
            "DequantizeLinear", ["fc_bias", "bias_scale"], ["bias"], name="bias_dq"
        )
        model.graph.node.insert(0, dequantize)
        node(model, "fc").input[2] = "bias"

    found = "an int32 constant through DequantizeLinear"
    assert broken(spoil) == [("bias_dq", "a float bias", found)]


def test_a_zero_point_that_is_not_zero_is_reported_with_its_value() -> None:
    rule = "a constant zero point of 0"
    assert broken(lambda model: set_constant(model, "relu_zero", np.int8(-3))) == [
        ("relu_q", rule, "-3"),
        ("relu_dq", rule, "-3"),
    ]
    one = np.zeros(64, np.int8)
    one[5] = 7
    assert broken(lambda model: set_constant(model, "fc_w_zero", one)) == [("fc_w_dq", rule, "7")]


@pytest.mark.parametrize(
    ("value", "found"), [(0, "0"), (-1, "-1"), (np.nan, "nan"), (np.inf, "inf")]
)
def test_a_scale_must_be_finite_and_above_zero(value: float, found: str) -> None:
    def spoil(model: onnx.ModelProto) -> None:
        scales = np.ones(64, np.float32)
        scales[[3, 9]] = value
        set_constant(model, "fc_w_scale", scales)

    rule = "constant scales that are finite and above 0"
    assert broken(spoil) == [("fc_w_dq", rule, f"2 of 64 not so, the first {found}")]


def test_scales_computed_while_running_are_refused() -> None:
    def spoil(model: onnx.ModelProto) -> None:
        node(model, "relu_q").input[1] = "mean"
        node(model, "relu_dq").input[2] = "mean"

    assert broken(spoil) == [
        ("relu_q", "constant scales that are finite and above 0", "one computed while running"),
        ("relu_dq", "a constant zero point of 0", "one computed while running"),
    ]


def test_activations_have_one_scale() -> None:
    rule = "one scale for all channels of an activation"
    assert broken(lambda model: set_constant(model, "relu_scale", np.ones(64, np.float32))) == [
        ("relu_q", rule, "64 scales"),
        ("relu_dq", rule, "64 scales"),
    ]


def test_an_activations_scale_is_a_scalar_and_no_list_of_one() -> None:
    rule = "an activation's scale as a scalar"
    assert broken(lambda model: set_constant(model, "picture_scale", np.ones(1, np.float32))) == [
        ("picture_q", rule, "shape [1]"),
        ("picture_dq", rule, "shape [1]"),
    ]


@pytest.mark.parametrize(
    ("layer", "wrong", "found"),
    [
        ("patch", 1, "axis 1 of the weight [32, 16, 8, 8] of this Conv, where 0 is due"),
        ("query", 0, "axis 0 of the weight [32, 32] of this MatMul, where 1 is due"),
        ("fc", 1, "axis 1 of the weight [64, 32] of this Gemm, where 0 is due"),
        ("fc", -1, "axis 1 of the weight [64, 32] of this Gemm, where 0 is due"),
    ],
)
def test_scales_of_a_weight_follow_its_output_channels(layer: str, wrong: int, found: str) -> None:
    def spoil(model: onnx.ModelProto) -> None:
        node(model, f"{layer}_w_dq").attribute[0].i = wrong

    rule = "scales of a weight along its output channels"
    assert broken(spoil) == [(layer, rule, found)]


def test_the_axis_of_a_gemm_follows_its_transposition() -> None:
    def spoil(axis: int) -> Callable[[onnx.ModelProto], None]:
        def change(model: onnx.ModelProto) -> None:
            del node(model, "fc").attribute[:]
            set_constant(model, "fc_w", np.ones((32, 64), np.int8))
            node(model, "fc_w_dq").attribute[0].i = axis

        return change

    assert broken(spoil(1)) == []
    assert [found for _, _, found in broken(spoil(0))] == [
        "axis 0 of the weight [32, 64] of this Gemm, where 1 is due"
    ]


@pytest.mark.parametrize("perm", [None, [1, 0]])
def test_a_transpose_between_weight_and_layer_is_followed(perm: list[int] | None) -> None:
    def spoil(axis: int) -> Callable[[onnx.ModelProto], None]:
        def change(model: onnx.ModelProto) -> None:
            attributes: dict[str, Any] = {} if perm is None else {"perm": perm}
            transpose = helper.make_node("Transpose", ["proj_w_dq"], ["turned"], **attributes)
            model.graph.node.append(transpose)
            node(model, "proj").input[1] = "turned"
            set_constant(model, "proj_w", np.ones((48, 64), np.int8))
            node(model, "proj_w_dq").attribute[0].i = axis

        return change

    assert broken(spoil(0)) == []
    assert [found for _, _, found in broken(spoil(1))] == [
        "axis 1 of the weight [48, 64] of this MatMul, where 0 is due"
    ]


def test_one_scale_for_a_whole_weight_is_allowed_and_blocks_are_not() -> None:
    def one(model: onnx.ModelProto) -> None:
        set_constant(model, "fc_w_scale", np.float32(0.1))
        set_constant(model, "fc_w_zero", np.int8(0))

    def blocks(model: onnx.ModelProto) -> None:
        set_constant(model, "fc_w_scale", np.ones((64, 2), np.float32))
        node(model, "fc_w_dq").input.pop()

    assert broken(one) == []
    assert [found for _, _, found in broken(blocks)] == ["blocks: scales of shape [64, 2]"]


def test_a_weight_quantized_while_running_the_quantizer_counts_as_a_weight() -> None:
    """Float weight, QuantizeLinear, DequantizeLinear: scales per channel are right there."""

    def spoil(model: onnx.ModelProto) -> None:
        set_constant(model, "fc_w", np.ones((64, 32), np.float32))
        parameters = ["fc_w", "fc_w_scale", "fc_w_zero"]
        quantize = helper.make_node("QuantizeLinear", parameters, ["fc_w_q"], name="q", axis=0)
        model.graph.node.insert(0, quantize)
        node(model, "fc_w_dq").input[0] = "fc_w_q"

    assert broken(spoil) == []


def test_a_weight_quantized_alone_would_run_in_float() -> None:
    rule = "input and weight quantized together"

    def spoil(model: onnx.ModelProto) -> None:
        node(model, "fc").input[0] = "mean"

    assert broken(spoil) == [("fc", rule, "the float input mean")]


def test_what_only_moves_numbers_may_stand_before_a_layer() -> None:
    def spoil(model: onnx.ModelProto) -> None:
        flatten = helper.make_node("Flatten", ["mean_dq"], ["moved"])
        model.graph.node.append(flatten)
        node(model, "fc").input[0] = "moved"

    assert broken(spoil) == []


def test_a_graph_inside_a_node_is_looked_at_and_sees_the_constants_around_it() -> None:
    def spoil(model: onnx.ModelProto) -> None:
        inside = helper.make_node(
            "QuantizeLinear", ["mean", "fc_w_scale", "relu_zero"], ["y"], name="inside"
        )
        value = helper.make_tensor_value_info("y", TensorProto.INT8, None)
        branch = helper.make_graph([inside], "branch", [], [value])
        choice = helper.make_node(
            "If", ["yes"], ["z"], name="choice", then_branch=branch, else_branch=branch
        )
        model.graph.node.append(choice)

    found = ("inside", "one scale for all channels of an activation", "64 scales")
    assert broken(spoil) == [found, found]


def test_a_float_graph_breaks_no_rule_of_quantization() -> None:
    def spoil(model: onnx.ModelProto) -> None:
        kept = [node for node in model.graph.node if "antizeLinear" not in node.op_type]
        del model.graph.node[:]
        model.graph.node.extend(kept)

    assert broken(spoil) == []


def test_requiring_names_the_first_places_and_counts_the_rest() -> None:
    model = qdq_graph()
    for name in ("relu_zero", "mean_zero", "query_zero"):
        set_constant(model, name, np.int8(1))
    with pytest.raises(ModelError) as caught:
        require_qdq_rules(model)
    assert str(caught.value) == (
        "the graph breaks rules of INT8 on TensorRT:\n"
        "query_q: expected a constant zero point of 0, found 1; "
        "set ActivationSymmetric and WeightSymmetric to True\n"
        "query_dq: expected a constant zero point of 0, found 1; "
        "set ActivationSymmetric and WeightSymmetric to True\n"
        "mean_q: expected a constant zero point of 0, found 1; "
        "set ActivationSymmetric and WeightSymmetric to True\n"
        "and 3 more"
    )


def test_every_rule_is_broken_by_a_test_of_its_own(request: pytest.FixtureRequest) -> None:
    source = request.path.read_text()
    assert [rule for rule in RULES if f'"{rule}"' not in source] == []
