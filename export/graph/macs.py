"""Counts the work of a graph: multiply-accumulates for one picture, and parameters.

It counts convolutions and matrix products, as the published figures of models do. The layers
between them (norms, activations, pooling) are a few percent of the work and are left out. An INT8
graph counts as much as its float graph.

Letters in shapes: M, K, N of a matrix product.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import onnx
from onnx import shape_inference

from edge.errors import ModelError
from export.graph.reshape import fix_axes, simplify

# Operators between a constant and the layer whose weight it is. They change the form of a weight
# and not its count.
_FORMS: Final = frozenset(
    {"DequantizeLinear", "QuantizeLinear", "Cast", "Identity", "Transpose", "Reshape"}
)
# Operators that multiply too, but are not counted; a graph with one is refused, because the figure
# would be too small.
_NOT_COUNTED: Final = frozenset(
    {"Attention", "ConvInteger", "ConvTranspose", "DeformConv", "Einsum", "GRU", "LSTM"}
    | {"MatMulInteger", "QLinearConv", "QLinearMatMul", "RNN"}
)


@dataclass(frozen=True, slots=True)
class Work:
    """Work of a graph.

    Attributes:
        macs: Multiply-accumulates of one input, batch 1.
        parameters: Count of numbers in the weights and biases of convolutions and matrix products.
            A shared weight counts once. Parameters of norms do not count: an export folds most of
            them into convolutions.
    """

    macs: int
    parameters: int


def count(model: onnx.ModelProto) -> Work:
    """Count the work of ``model``, its first axes fixed to 1.

    Raises:
        ModelError: A shape depends on the input, or an operator is not counted here.
    """
    graph = _shaped(model)
    values = (*graph.value_info, *graph.input, *graph.output)
    shapes = {value.name: _extents(value) for value in values}
    constants = _constants(graph)
    shapes |= constants
    makers = {output: node for node in graph.node for output in node.output}
    macs = 0
    used: set[str] = set()
    for node in graph.node:
        if node.op_type in _NOT_COUNTED or any(_inner(attribute) for attribute in node.attribute):
            raise ModelError(
                f"expected convolutions and matrix products, found {node.op_type} {node.name}, "
                "whose work is not counted; export the model with standard layers"
            )
        macs += _macs(node, shapes)
        used |= {_origin(name, makers) for name in _weights(node, constants, makers)}
    parameters = sum(math.prod(constants[name]) for name in used & constants.keys())
    return Work(macs, parameters)


def _shaped(model: onnx.ModelProto) -> onnx.GraphProto:
    """Return the graph at batch 1, with the inferred shapes of its values."""
    batches = {
        value.type.tensor_type.shape.dim[0].dim_param
        for value in model.graph.input
        if value.type.tensor_type.shape.dim
    } - {""}
    fixed = fix_axes(model, dict.fromkeys(batches, 1)) if batches else model
    try:
        # Values that are computed from shapes are constant once the batch is one.
        inferred = shape_inference.infer_shapes(simplify(fixed), strict_mode=True, data_prop=True)
    except shape_inference.InferenceError as exc:
        raise ModelError(f"expected a graph with sound shapes, found: {exc}") from exc
    graph: onnx.GraphProto = inferred.graph
    return graph


def _extents(value: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    """Return the shape of a value; None where an extent is not known."""
    tensor = value.type.tensor_type
    known = tensor.HasField("shape") and all(dim.HasField("dim_value") for dim in tensor.shape.dim)
    return tuple(dim.dim_value for dim in tensor.shape.dim) if known else None


def _constants(graph: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all constants by name: initializers and ``Constant`` nodes."""
    found = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                found[node.output[0]] = tuple(attribute.t.dims)
    return found


def _macs(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...] | None]) -> int:
    """Return the count of numbers in the result, times the products that each of them sums."""
    match node.op_type:
        case "Conv":
            # Weight [out, in / groups, rows, columns]: all but ``out`` is summed for one number.
            summed = math.prod(_shape(node, node.input[1], shapes)[1:])
        case "Gemm":
            transposed = any(one.name == "transA" and one.i for one in node.attribute)
            summed = _shape(node, node.input[0], shapes)[0 if transposed else 1]  # K of [M, K]
        case "MatMul":
            summed = _shape(node, node.input[0], shapes)[-1]  # K of [..., M, K]
        case _:
            return 0
    return summed * math.prod(_shape(node, node.output[0], shapes))


def _shape(
    node: onnx.NodeProto, name: str, shapes: dict[str, tuple[int, ...] | None]
) -> tuple[int, ...]:
    found = shapes.get(name)
    if found is None:
        raise ModelError(
            f"expected a fixed shape of {name} at {node.op_type} {node.name}, found one that "
            "depends on the input; fix the graph's axes but the batch when it is exported"
        )
    return found


def _weights(
    node: onnx.NodeProto, constants: dict[str, tuple[int, ...]], makers: dict[str, onnx.NodeProto]
) -> Sequence[str]:
    """Return the inputs of a node that may be weights or biases."""
    if node.op_type in {"Conv", "Gemm", "MatMul"}:
        names: list[str] = list(node.input)
        return names
    # A linear layer over tokens is exported as a MatMul and an Add.
    if node.op_type == "Add":
        for product, bias in (tuple(node.input), tuple(node.input)[::-1]):
            maker = makers.get(_origin(product, makers))
            row = constants.get(_origin(bias, makers), ())
            if maker is not None and maker.op_type == "MatMul" and len(row) == 1:
                return [bias]
    return []


def _origin(name: str, makers: dict[str, onnx.NodeProto]) -> str:
    """Return the value that ``name`` was made from by a change of form alone."""
    while name in makers and makers[name].op_type in _FORMS:
        name = makers[name].input[0]
    return name


def _inner(attribute: Any) -> bool:
    """Return whether an attribute holds a graph: that of a branch or a loop."""
    return attribute.HasField("g") or bool(attribute.graphs)
