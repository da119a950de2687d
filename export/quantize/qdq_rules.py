"""Checks whether TensorRT would run a quantized ONNX graph in INT8, without TensorRT.

TensorRT reports half of these mistakes as parse errors. It accepts the other half without a word:
the graph builds, and its convolutions run in float. The rules were found with TensorRT for RTX 1.7,
whose ONNX parser is TensorRT's own. OpenVINO and ONNX Runtime accept a graph that keeps them.

A rule is a row in ``RULES`` with a function that yields what is wrong at one node. The int8 input
``pixels`` enters as any activation does, through DequantizeLinear (scale 1) or a Cast.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from edge.errors import ModelError
from export.quantize.qdq_view import (
    STANDARD,
    QdqView,
    activation_scale,
    attribute_of,
    input_of,
    is_qdq,
    quantized_type,
    title,
    views,
    weight_of,
    weight_shape,
)

_SHOWN = 3
_INTEGER_OPERATORS = {
    "ConvInteger",
    "DynamicQuantizeLinear",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
}

# Operators that a quantizer may put between DequantizeLinear and the layer: they move numbers and
# change none.
_MOVES = {"Flatten", "Gather", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"}

_EIGHT_BITS = {TensorProto.INT8, TensorProto.UINT8}


@dataclass(frozen=True, slots=True)
class Violation:
    """One place where a graph breaks a rule.

    Attributes:
        node: Name of the node, or of its first output where the node has no name.
        rule: Key of ``RULES``: what was expected.
        found: What the graph has instead.
        remedy: Advice to the user.
    """

    node: str
    rule: str
    found: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.node}: expected {self.rule}, found {self.found}; {self.remedy}"


def qdq_violations(model: onnx.ModelProto) -> list[Violation]:
    """Return every place where ``model`` breaks a rule, in the order of its nodes.

    A graph without quantized nodes keeps all rules about quantization.
    """
    return [
        Violation(title(node), rule, found, remedy)
        for view in views(model.graph, QdqView(onnx.GraphProto()))
        for node in view.graph.node
        for rule, (check, remedy) in RULES.items()
        for found in check(view, node)
    ]


def require_qdq_rules(model: onnx.ModelProto) -> None:
    """Refuse a graph that TensorRT would not read or would not run in INT8.

    Raises:
        ModelError: A rule is broken; the message names the first places.
    """
    violations = qdq_violations(model)
    if violations:
        shown = "\n".join(str(violation) for violation in violations[:_SHOWN])
        more = len(violations) - _SHOWN
        tail = f"\nand {more} more" if more > 0 else ""
        raise ModelError(f"the graph breaks rules of INT8 on TensorRT:\n{shown}{tail}")


def _standard_operator(_view: QdqView, node: onnx.NodeProto) -> Iterator[str]:
    if node.domain not in STANDARD:
        yield f"{node.domain}:{node.op_type}"


def _float_operator(_view: QdqView, node: onnx.NodeProto) -> Iterator[str]:
    if node.op_type in _INTEGER_OPERATORS:
        yield node.op_type


def _no_antialias(_view: QdqView, node: onnx.NodeProto) -> Iterator[str]:
    if node.op_type == "Resize" and attribute_of(node, "antialias", 0):
        yield "antialias=1"


def _int8(view: QdqView, node: onnx.NodeProto) -> Iterator[str]:
    kind = quantized_type(view, node)
    # Another rule reports an int32 bias.
    if kind not in {None, TensorProto.INT8, TensorProto.INT32}:
        yield helper.tensor_dtype_to_np_dtype(kind).name if kind else "no type"


def _int8_constant(view: QdqView, node: onnx.NodeProto) -> Iterator[str]:
    if is_qdq(node):
        return
    for name in node.input:
        if name in view.constants and view.constants[name].data_type in _EIGHT_BITS:
            yield f"{name} into {node.op_type}"


def _float_bias(view: QdqView, node: onnx.NodeProto) -> Iterator[str]:
    if quantized_type(view, node) == TensorProto.INT32:
        yield "an int32 constant through DequantizeLinear"


def _zero_point(view: QdqView, node: onnx.NodeProto) -> Iterator[str]:
    if not is_qdq(node) or not input_of(node, 2):
        return
    zero_point = view.array(node.input[2])
    if zero_point is None:
        yield "one computed while running"
    elif np.any(zero_point):
        yield f"{zero_point.ravel()[np.flatnonzero(zero_point)[0]]}"


def _scale_value(view: QdqView, node: onnx.NodeProto) -> Iterator[str]:
    if not is_qdq(node):
        return
    scale = view.array(node.input[1])
    if scale is None:
        yield "one computed while running"
        return
    wrong = scale[~(np.isfinite(scale) & (scale > 0))]
    if wrong.size:
        yield f"{wrong.size} of {scale.size} not so, the first {float(wrong.ravel()[0]):g}"


def _per_tensor_activation(view: QdqView, node: onnx.NodeProto) -> Iterator[str]:
    scale = activation_scale(view, node)
    if scale is not None and scale.size != 1:
        yield f"{scale.size} scales"


def _scalar_scale(view: QdqView, node: onnx.NodeProto) -> Iterator[str]:
    scale = activation_scale(view, node)
    if scale is not None and scale.size == 1 and scale.ndim:
        yield f"shape {list(scale.shape)}"


def _output_channels(view: QdqView, node: onnx.NodeProto) -> Iterator[str]:
    """Check the weight of a Conv, MatMul or Gemm, through a Transpose where there is one."""
    weight = weight_of(view, node)
    if weight is None:
        return
    dequantize, axes = weight
    scale = view.array(dequantize.input[1])
    if scale is None or scale.ndim == 0:
        return
    if scale.ndim > 1:
        yield f"blocks: scales of shape {list(scale.shape)}"
        return
    output = {"Conv": 0, "MatMul": -1, "Gemm": 0 if attribute_of(node, "transB", 0) else 1}
    expected = axes[output[node.op_type]]
    found = attribute_of(dequantize, "axis", 1) % len(axes)
    if found != expected:
        shape = weight_shape(view, dequantize)
        yield f"axis {found} of the weight {shape} of this {node.op_type}, where {expected} is due"


def _both_sides(view: QdqView, node: onnx.NodeProto) -> Iterator[str]:
    if weight_of(view, node) is None:
        return
    producer = view.producers.get(node.input[0])
    while producer is not None and producer.op_type in _MOVES:
        producer = view.producers.get(producer.input[0])
    if producer is None or producer.op_type != "DequantizeLinear":
        yield f"the float input {node.input[0]}"


Check = Callable[[QdqView, onnx.NodeProto], Iterable[str]]

# Rule in the words of the message ("expected ..."): its check and the remedy.
RULES: Mapping[str, tuple[Check, str]] = {
    "an operator of ONNX itself": (
        _standard_operator,
        "quantize the graph as it was exported, not one that ONNX Runtime has optimized",
    ),
    "Q/DQ around float operators": (
        _float_operator,
        "quantize to the QDQ format with static scales",
    ),
    "Resize without antialias": (_no_antialias, "resize before the graph"),
    "signed 8-bit integers": (_int8, "set activation and weight type to QInt8"),
    "8-bit constants before DequantizeLinear only": (
        _int8_constant,
        "dequantize it first, or keep it in float",
    ),
    "a float bias": (_float_bias, "set QuantizeBias to False"),
    "a constant zero point of 0": (
        _zero_point,
        "set ActivationSymmetric and WeightSymmetric to True",
    ),
    "constant scales that are finite and above 0": (
        _scale_value,
        "raise the scale of a dead channel to a small number; calibrate with pictures that differ",
    ),
    "one scale for all channels of an activation": (
        _per_tensor_activation,
        "quantize activations per tensor: with scales per channel the layer runs in float",
    ),
    "an activation's scale as a scalar": (
        _scalar_scale,
        "give it shape []: with shape [1] a convolution runs in float",
    ),
    "scales of a weight along its output channels": (
        _output_channels,
        "quantize on that axis: on another one the layer runs in float",
    ),
    "input and weight quantized together": (
        _both_sides,
        "quantize its input too, or leave its weight in float: so it runs in float",
    ),
}
