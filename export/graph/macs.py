"""What a graph costs by its own arithmetic: multiply-accumulates for one picture, and parameters.

Counted are convolutions and matrix products, as the published figures of models do. What lies
between them (norms, activations, pooling) is a few in a hundred of the work and is left out. An
INT8 graph is counted as the float one that it stands for.

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

# Between a constant and the operator whose weight it is: they change its form and not its count.
_FORMS: Final = frozenset(
    {"DequantizeLinear", "QuantizeLinear", "Cast", "Identity", "Transpose", "Reshape"}
)
# They multiply as well. Whoever meets one here must count it, or the figure is too small.
_NOT_COUNTED: Final = frozenset(
    {"Attention", "ConvInteger", "ConvTranspose", "DeformConv", "Einsum", "GRU", "LSTM"}
    | {"MatMulInteger", "QLinearConv", "QLinearMatMul", "RNN"}
)


@dataclass(frozen=True, slots=True)
class Work:
    """What a graph costs.

    Attributes:
        macs: Multiply-accumulates of one input, batch 1.
        parameters: Numbers in the weights and biases of convolutions and matrix products; one that
            several share counts once. Those of norms are not among them: an export folds most of
            them into convolutions.
    """

    macs: int
    parameters: int


def count(model: onnx.ModelProto) -> Work:
    """Count the work of ``model``, its first axes fixed to 1.

    Raises:
        ModelError: A shape that depends on the input, or an operator that is not counted here.
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
    """The graph of one input, with the shape of every value that has one."""
    batches = {
        value.type.tensor_type.shape.dim[0].dim_param
        for value in model.graph.input
        if value.type.tensor_type.shape.dim
    } - {""}
    fixed = fix_axes(model, dict.fromkeys(batches, 1)) if batches else model
    try:
        # What is computed from shapes is constant once the batch is one.
        inferred = shape_inference.infer_shapes(simplify(fixed), strict_mode=True, data_prop=True)
    except shape_inference.InferenceError as exc:
        raise ModelError(f"expected a graph with sound shapes, found: {exc}") from exc
    graph: onnx.GraphProto = inferred.graph
    return graph


def _extents(value: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    """Its shape; None where an extent is not known."""
    tensor = value.type.tensor_type
    known = tensor.HasField("shape") and all(dim.HasField("dim_value") for dim in tensor.shape.dim)
    return tuple(dim.dim_value for dim in tensor.shape.dim) if known else None


def _constants(graph: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    """Shapes of all constants, wherever they are kept."""
    found = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                found[node.output[0]] = tuple(attribute.t.dims)
    return found


def _macs(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...] | None]) -> int:
    """Numbers of the result, times the products that each is a sum of."""
    match node.op_type:
        case "Conv":
            # [out, in / groups, rows, columns]: what one number of the result sees.
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
    """Inputs that are weights or biases, where they are constants."""
    if node.op_type in {"Conv", "Gemm", "MatMul"}:
        names: list[str] = list(node.input)
        return names
    # A linear layer over tokens is a product and a sum of its own.
    if node.op_type == "Add":
        for product, bias in (tuple(node.input), tuple(node.input)[::-1]):
            maker = makers.get(_origin(product, makers))
            row = constants.get(_origin(bias, makers), ())
            if maker is not None and maker.op_type == "MatMul" and len(row) == 1:
                return [bias]
    return []


def _origin(name: str, makers: dict[str, onnx.NodeProto]) -> str:
    """The value that ``name`` is another form of."""
    while name in makers and makers[name].op_type in _FORMS:
        name = makers[name].input[0]
    return name


def _inner(attribute: Any) -> bool:
    """Whether it is a graph within the graph, of a branch or a loop."""
    return attribute.HasField("g") or bool(attribute.graphs)
