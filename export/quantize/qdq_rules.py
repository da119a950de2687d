"""Would TensorRT run this quantized graph in INT8? Asked of the ONNX graph alone, without TensorRT.

TensorRT answers half of these mistakes with a parse error and the other half with silence: the
graph builds and its convolutions run in float. The rules were found with TensorRT for RTX 1.7,
whose ONNX parser is TensorRT's own; OpenVINO and ONNX Runtime are content with a graph that keeps
them.

A rule is a function from one node to what it found wrong there, and a row in ``RULES``. The int8
input ``pixels`` enters as any activation does, through DequantizeLinear (scale 1) or a Cast.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from edge.errors import ModelError

_SHOWN = 3
_STANDARD = {"", "ai.onnx"}
_INTEGER_OPERATORS = {
    "ConvInteger",
    "DynamicQuantizeLinear",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
}

# What a quantizer may put between DequantizeLinear and the layer: it moves numbers, changes none.
_MOVES = {"Flatten", "Gather", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"}

_EIGHT_BITS = {TensorProto.INT8, TensorProto.UINT8}


@dataclass(frozen=True, slots=True)
class Violation:
    """One place where a graph breaks a rule.

    Attributes:
        node: Name of the node; its first output where it has no name.
        rule: Row in ``RULES``.
        found: What is there.
        remedy: What to do about it.
    """

    node: str
    rule: str
    found: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.node}: expected {self.rule}, found {self.found}; {self.remedy}"


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """A graph, and what its nodes see by name: constants, producers, types of inputs."""

    graph: onnx.GraphProto
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)
    producers: dict[str, onnx.NodeProto] = field(default_factory=dict)
    inputs: dict[str, int] = field(default_factory=dict)

    def array(self, name: str) -> NDArray[Any] | None:
        tensor = self.constants.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def is_weight(self, node: onnx.NodeProto) -> bool:
        """Whether this QuantizeLinear or DequantizeLinear carries a constant."""
        name = node.input[0]
        if name in self.constants:
            return True
        producer = self.producers.get(name)
        return (
            producer is not None
            and producer.op_type == "QuantizeLinear"
            and producer.input[0] in self.constants
        )


def qdq_violations(model: onnx.ModelProto) -> list[Violation]:
    """Return every place where ``model`` breaks a rule, in the order of its nodes.

    A graph without quantized nodes breaks none of the rules about quantization.
    """
    return [
        Violation(_name(node), rule, found, remedy)
        for view in _views(model.graph, _View(onnx.GraphProto()))
        for node in view.graph.node
        for rule, (check, remedy) in RULES.items()
        for found in check(view, node)
    ]


def require_qdq_rules(model: onnx.ModelProto) -> None:
    """Refuse a graph that TensorRT would not read, or would not run in INT8.

    Raises:
        ModelError: A rule is broken; names the first places.
    """
    violations = qdq_violations(model)
    if violations:
        shown = "\n".join(str(violation) for violation in violations[:_SHOWN])
        more = len(violations) - _SHOWN
        tail = f"\nand {more} more" if more > 0 else ""
        raise ModelError(f"the graph breaks rules of INT8 on TensorRT:\n{shown}{tail}")


def _standard_operator(_view: _View, node: onnx.NodeProto) -> Iterator[str]:
    if node.domain not in _STANDARD:
        yield f"{node.domain}:{node.op_type}"


def _float_operator(_view: _View, node: onnx.NodeProto) -> Iterator[str]:
    if node.op_type in _INTEGER_OPERATORS:
        yield node.op_type


def _no_antialias(_view: _View, node: onnx.NodeProto) -> Iterator[str]:
    if node.op_type == "Resize" and _attribute(node, "antialias", 0):
        yield "antialias=1"


def _int8(view: _View, node: onnx.NodeProto) -> Iterator[str]:
    kind = _quantized_type(view, node)
    # An int32 bias is a mistake of its own.
    if kind not in {None, TensorProto.INT8, TensorProto.INT32}:
        yield helper.tensor_dtype_to_np_dtype(kind).name if kind else "no type"


def _int8_constant(view: _View, node: onnx.NodeProto) -> Iterator[str]:
    if _is_qdq(node):
        return
    for name in node.input:
        if name in view.constants and view.constants[name].data_type in _EIGHT_BITS:
            yield f"{name} into {node.op_type}"


def _float_bias(view: _View, node: onnx.NodeProto) -> Iterator[str]:
    if _quantized_type(view, node) == TensorProto.INT32:
        yield "an int32 constant through DequantizeLinear"


def _zero_point(view: _View, node: onnx.NodeProto) -> Iterator[str]:
    if not _is_qdq(node) or not _input(node, 2):
        return
    zero_point = view.array(node.input[2])
    if zero_point is None:
        yield "one computed while running"
    elif np.any(zero_point):
        yield f"{zero_point.ravel()[np.flatnonzero(zero_point)[0]]}"


def _scale_value(view: _View, node: onnx.NodeProto) -> Iterator[str]:
    if not _is_qdq(node):
        return
    scale = view.array(node.input[1])
    if scale is None:
        yield "one computed while running"
        return
    wrong = scale[~(np.isfinite(scale) & (scale > 0))]
    if wrong.size:
        yield f"{wrong.size} of {scale.size} not so, the first {float(wrong.ravel()[0]):g}"


def _per_tensor_activation(view: _View, node: onnx.NodeProto) -> Iterator[str]:
    scale = _activation_scale(view, node)
    if scale is not None and scale.size != 1:
        yield f"{scale.size} scales"


def _scalar_scale(view: _View, node: onnx.NodeProto) -> Iterator[str]:
    scale = _activation_scale(view, node)
    if scale is not None and scale.size == 1 and scale.ndim:
        yield f"shape {list(scale.shape)}"


def _output_channels(view: _View, node: onnx.NodeProto) -> Iterator[str]:
    """Look from Conv, MatMul or Gemm at its weight, through a Transpose where there is one."""
    weight = _weight(view, node)
    if weight is None:
        return
    dequantize, axes = weight
    scale = view.array(dequantize.input[1])
    if scale is None or scale.ndim == 0:
        return
    if scale.ndim > 1:
        yield f"blocks: scales of shape {list(scale.shape)}"
        return
    output = {"Conv": 0, "MatMul": -1, "Gemm": 0 if _attribute(node, "transB", 0) else 1}
    expected = axes[output[node.op_type]]
    found = _attribute(dequantize, "axis", 1) % len(axes)
    if found != expected:
        shape = _weight_shape(view, dequantize)
        yield f"axis {found} of the weight {shape} of this {node.op_type}, where {expected} is due"


def _both_sides(view: _View, node: onnx.NodeProto) -> Iterator[str]:
    if _weight(view, node) is None:
        return
    producer = view.producers.get(node.input[0])
    while producer is not None and producer.op_type in _MOVES:
        producer = view.producers.get(producer.input[0])
    if producer is None or producer.op_type != "DequantizeLinear":
        yield f"the float input {node.input[0]}"


Check = Callable[[_View, onnx.NodeProto], Iterable[str]]

# Rule, as it is told ("expected ..."): its check, and what to do.
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


def _views(graph: onnx.GraphProto, outer: _View) -> Iterator[_View]:
    """The graph, and the graphs inside its nodes (If, Loop, Scan)."""
    view = _View(graph, dict(outer.constants), dict(outer.producers), dict(outer.inputs))
    view.constants.update((tensor.name, tensor) for tensor in graph.initializer)
    view.inputs.update((value.name, value.type.tensor_type.elem_type) for value in graph.input)
    for node in graph.node:
        view.producers.update((name, node) for name in node.output)
        if node.op_type == "Constant" and node.attribute[0].type == AttributeProto.TENSOR:
            view.constants[node.output[0]] = node.attribute[0].t
    yield view
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from _views(attribute.g, view)


def _name(node: onnx.NodeProto) -> str:
    return str(node.name or node.output[0])


def _is_qdq(node: onnx.NodeProto) -> bool:
    return node.op_type in {"QuantizeLinear", "DequantizeLinear"} and node.domain in _STANDARD


def _input(node: onnx.NodeProto, index: int) -> str:
    return node.input[index] if len(node.input) > index else ""


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    for attribute in node.attribute:
        if attribute.name == name:
            return helper.get_attribute_value(attribute)
    return default


def _quantized_type(view: _View, node: onnx.NodeProto) -> int | None:
    """The ONNX type on the integer side of a node; None where there is none, or it cannot tell."""
    if not _is_qdq(node):
        return None
    if zero_point := view.constants.get(_input(node, 2)):
        return int(zero_point.data_type)
    if node.op_type == "QuantizeLinear":
        # Without a zero point the specification says unsigned; TensorRT would take it for signed.
        return int(_attribute(node, "output_dtype", 0)) or TensorProto.UINT8
    name = node.input[0]
    if name in view.constants:
        return int(view.constants[name].data_type)
    if name in view.inputs:
        return view.inputs[name]
    return None  # the QuantizeLinear before it is looked at by itself


def _activation_scale(view: _View, node: onnx.NodeProto) -> NDArray[Any] | None:
    if not _is_qdq(node) or view.is_weight(node):
        return None
    return view.array(node.input[1])


def _weight(view: _View, node: onnx.NodeProto) -> tuple[onnx.NodeProto, list[int]] | None:
    """The DequantizeLinear of a layer's constant weight, and its axes in the layer's order."""
    if node.op_type not in {"Conv", "MatMul", "Gemm"}:
        return None
    producer = view.producers.get(node.input[1])
    transpose = None
    if producer is not None and producer.op_type == "Transpose":
        transpose, producer = producer, view.producers.get(producer.input[0])
    if producer is None or producer.op_type != "DequantizeLinear" or not view.is_weight(producer):
        return None
    axes = list(range(len(_weight_shape(view, producer))))
    if transpose is not None:
        axes = list(_attribute(transpose, "perm", axes[::-1]))
    return producer, axes


def _weight_shape(view: _View, dequantize: onnx.NodeProto) -> list[int]:
    name = dequantize.input[0]
    if name not in view.constants:
        name = view.producers[name].input[0]
    return list(view.constants[name].dims)
