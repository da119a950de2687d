"""Reads quantized graphs: the constants, producers, types and scales behind each node's inputs."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, TensorProto, helper, numpy_helper

STANDARD = {"", "ai.onnx"}


@dataclass(frozen=True, slots=True, eq=False)
class QdqView:
    """A graph, and what its nodes can read by name.

    Attributes:
        graph: The graph itself.
        constants: Constants by name, those of the graphs around it included.
        producers: Nodes by the names of their outputs.
        inputs: ONNX element types of the graph's inputs by name.
    """

    graph: onnx.GraphProto
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)
    producers: dict[str, onnx.NodeProto] = field(default_factory=dict)
    inputs: dict[str, int] = field(default_factory=dict)

    def array(self, name: str) -> NDArray[Any] | None:
        """Return the value of a constant; None where the name is not that of a constant."""
        tensor = self.constants.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def is_weight(self, node: onnx.NodeProto) -> bool:
        """Return whether a QuantizeLinear or DequantizeLinear reads a constant."""
        name = node.input[0]
        if name in self.constants:
            return True
        producer = self.producers.get(name)
        return (
            producer is not None
            and producer.op_type == "QuantizeLinear"
            and producer.input[0] in self.constants
        )


def views(graph: onnx.GraphProto, outer: QdqView) -> Iterator[QdqView]:
    """Yield the view of a graph, then those of the graphs inside its nodes (If, Loop, Scan)."""
    view = QdqView(graph, dict(outer.constants), dict(outer.producers), dict(outer.inputs))
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
                yield from views(attribute.g, view)


def title(node: onnx.NodeProto) -> str:
    """Return the name of a node, or of its first output where the node has none."""
    return str(node.name or node.output[0])


def is_qdq(node: onnx.NodeProto) -> bool:
    """Return whether a node is a standard QuantizeLinear or DequantizeLinear."""
    return node.op_type in {"QuantizeLinear", "DequantizeLinear"} and node.domain in STANDARD


def input_of(node: onnx.NodeProto, index: int) -> str:
    """Return the name of an input; empty where the node has no such input."""
    return node.input[index] if len(node.input) > index else ""


def attribute_of(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """Return the value of an attribute; ``default`` where the node does not have it."""
    for attribute in node.attribute:
        if attribute.name == name:
            return helper.get_attribute_value(attribute)
    return default


def quantized_type(view: QdqView, node: onnx.NodeProto) -> int | None:
    """Return the ONNX type on the integer side of a node; None where it has none or cannot tell."""
    if not is_qdq(node):
        return None
    if zero_point := view.constants.get(input_of(node, 2)):
        return int(zero_point.data_type)
    if node.op_type == "QuantizeLinear":
        # Without a zero point, unsigned by the specification; TensorRT would read it as signed.
        return int(attribute_of(node, "output_dtype", 0)) or TensorProto.UINT8
    name = node.input[0]
    if name in view.constants:
        return int(view.constants[name].data_type)
    if name in view.inputs:
        return view.inputs[name]
    return None  # the QuantizeLinear before it is checked by itself


def activation_scale(view: QdqView, node: onnx.NodeProto) -> NDArray[Any] | None:
    """Return the constant scale of a quantized activation; None for other nodes and scales."""
    if not is_qdq(node) or view.is_weight(node):
        return None
    return view.array(node.input[1])


def weight_of(view: QdqView, node: onnx.NodeProto) -> tuple[onnx.NodeProto, list[int]] | None:
    """Return the DequantizeLinear of a layer's weight, and its axes in the layer's order."""
    if node.op_type not in {"Conv", "MatMul", "Gemm"}:
        return None
    producer = view.producers.get(node.input[1])
    transpose = None
    if producer is not None and producer.op_type == "Transpose":
        transpose, producer = producer, view.producers.get(producer.input[0])
    if producer is None or producer.op_type != "DequantizeLinear" or not view.is_weight(producer):
        return None
    axes = list(range(len(weight_shape(view, producer))))
    if transpose is not None:
        axes = list(attribute_of(transpose, "perm", axes[::-1]))
    return producer, axes


def weight_shape(view: QdqView, dequantize: onnx.NodeProto) -> list[int]:
    """Return the shape of the constant behind a weight's DequantizeLinear."""
    name = dequantize.input[0]
    if name not in view.constants:
        name = view.producers[name].input[0]
    return list(view.constants[name].dims)
