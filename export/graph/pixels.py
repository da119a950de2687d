"""Makes a graph take the device's int8 pixels in place of a normalized float picture.

The normalization is folded into the first convolution. The module works on plain ONNX and knows no
model family.
"""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edge.errors import ModelError
from export.graph.reshape import checked

PIXELS = "pixels"

# Operators that move pixels without changing them; they work on int8 pixels too.
MOVERS = ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Identity", "Cast")
_CHANNELS = -3


def fold_pixels(
    model: onnx.ModelProto, name: str, mean: Sequence[float], std: Sequence[float]
) -> onnx.ModelProto:
    """Return ``model`` with the int8 input ``pixels`` in place of a normalized float picture.

    The input of the graph was ``(u8 - mean) / std`` and becomes ``u8 - 128``. Both are linear, so
    the weights and the bias of the first convolution take the difference, exactly up to float32.
    Where that convolution pads, its zeros meant the mean colour before and mean grey 128 now. That
    difference depends on the place, so the graph adds a constant map, which is exact too. A Pad
    with the mean rounded to int8 would be off by up to half a grey level at the borders.

    Args:
        model: Graph in which one convolution reads ``name``, possibly after Reshape, Transpose or
            Cast, as in a video tower [N,T,3,H,W].
        name: Name of the float input [...,3,H,W].
        mean: Mean of each channel, in units of 0..255.
        std: Standard deviation of each channel, in units of 0..255, above 0.

    Raises:
        ModelError: Another node than a convolution reads the picture, or several nodes do.
    """
    model = copy.deepcopy(model)
    graph = model.graph
    picture = _picture(graph, name, len(mean))
    if len(std) != len(mean) or min(std) <= 0:
        raise ModelError(f"expected a deviation above 0 for each channel, found {list(std)}")
    path, conv = _way_to_conv(graph, name)
    arrived = _arrival(graph, picture, conv.input[0])
    weight = _conv_weight(graph, conv, name)
    channels = np.arange(len(mean), dtype=np.float32).reshape(-1, *[1] * (arrived.ndim - 2))
    if not (arrived == channels).all():
        raise ModelError(
            f"{name}: expected its channels to be the channels of {_title(conv)}, found them "
            "mixed with rows or columns on the way; fold this model's normalization by hand"
        )
    columns = (1, -1, *[1] * (weight.ndim - 2))
    deviation = np.asarray(std, np.float64)
    grey = (128.0 - np.asarray(mean, np.float64)) / deviation  # u8 128, normalized

    folded, shift = f"{conv.name}.folded", f"{conv.name}.shift"
    _add_initializer(graph, folded, weight / deviation.reshape(columns))
    bias = _constant(graph, conv.input[2]) if len(conv.input) > 2 else np.zeros(len(weight))
    inside = bias + weight.sum(axis=tuple(range(2, weight.ndim))) @ grey
    if _pads(conv):
        # The map to add: the old convolution of a picture of this grey.
        plain = np.broadcast_to(grey.reshape(columns), (1, *arrived.shape[1:]))
        shift_map = _convolve(conv, plain, weight) + bias.reshape(columns)
        _add_initializer(graph, shift, shift_map)
        _add_after(graph, conv, shift)
        del conv.input[1:]
        conv.input.append(folded)
    else:
        _add_initializer(graph, shift, inside)
        del conv.input[1:]
        conv.input.extend([folded, shift])
    _enter_as_int8(graph, picture, path, conv)
    return checked(model)


def _picture(graph: onnx.GraphProto, name: str, channels: int) -> onnx.ValueInfoProto:
    found = {value.name: value for value in graph.input}
    if name not in found:
        raise ModelError(f"expected an input {name}, found {', '.join(found)}")
    tensor = found[name].type.tensor_type
    extents = [dim.dim_value for dim in tensor.shape.dim]
    fixed = extents[_CHANNELS:]
    if tensor.elem_type != TensorProto.FLOAT or len(extents) < 4 or 0 in fixed:
        raise ModelError(
            f"{name}: expected a float32 picture [N,3,H,W] or video [N,T,3,H,W] of fixed size, "
            f"found {TensorProto.DataType.Name(tensor.elem_type)} {extents}"
        )
    if fixed[0] != channels:
        raise ModelError(
            f"{name}: expected {channels} channels as in the mean, found {fixed[0]} ({extents})"
        )
    picture: onnx.ValueInfoProto = found[name]
    return picture


def _way_to_conv(graph: onnx.GraphProto, name: str) -> tuple[list[onnx.NodeProto], onnx.NodeProto]:
    """Return the nodes that move the picture, in order, and the convolution that reads it."""
    path: list[onnx.NodeProto] = []
    value = name
    while True:
        # A Shape node reads no pixel.
        readers = [node for node in graph.node if value in node.input and node.op_type != "Shape"]
        kept = value in {output.name for output in graph.output}
        if len(readers) != 1 or kept:
            found = [_title(node) for node in readers] + ["an output of the graph"] * kept
            raise ModelError(
                f"{name}: expected one convolution to read the picture, found "
                f"{', '.join(found) or 'nothing'}; fuse parallel branches before the export"
            )
        (reader,) = readers
        if reader.input[0] != value or reader.op_type not in (*MOVERS, "Conv"):
            raise ModelError(
                f"{name}: expected a convolution to read the picture, found {_title(reader)}; the "
                "normalization can only be folded into a convolution"
            )
        if reader.op_type == "Conv":
            return path, reader
        path.append(reader)
        value = reader.output[0]


def _arrival(
    graph: onnx.GraphProto, picture: onnx.ValueInfoProto, target: str
) -> NDArray[np.float32]:
    """Return the value of ``target`` for a picture that holds its channel numbers as pixels."""
    shape = [dim.dim_value or 1 for dim in picture.type.tensor_type.shape.dim]
    numbers = np.arange(shape[_CHANNELS], dtype=np.float32)[:, None, None]
    if target == picture.name:
        return np.broadcast_to(numbers, shape)
    needed = {target}
    nodes: list[onnx.NodeProto] = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            nodes.insert(0, node)
            needed |= set(node.input)
    part = helper.make_graph(
        nodes,
        "the way to the convolution",
        [picture],
        [helper.make_tensor_value_info(target, TensorProto.FLOAT, None)],
        [tensor for tensor in graph.initializer if tensor.name in needed],
    )
    runner = ReferenceEvaluator(helper.make_model(part))
    return _only_output(runner, {picture.name: np.broadcast_to(numbers, shape).copy()})


def _conv_weight(graph: onnx.GraphProto, conv: onnx.NodeProto, name: str) -> NDArray[np.float64]:
    weight = _constant(graph, conv.input[1])
    group = next((attr.i for attr in conv.attribute if attr.name == "group"), 1)
    if group != 1 or any(not _is_constant(graph, value) for value in conv.input[2:]):
        raise ModelError(
            f"{name}: expected {_title(conv)} to have one group and a constant bias, found "
            f"{group} groups"
        )
    return weight


def _is_constant(graph: onnx.GraphProto, name: str) -> bool:
    return any(tensor.name == name for tensor in graph.initializer)


def _constant(graph: onnx.GraphProto, name: str) -> NDArray[np.float64]:
    for tensor in graph.initializer:
        if tensor.name == name:
            return np.asarray(numpy_helper.to_array(tensor), np.float64)
    raise ModelError(
        f"{name}: expected a constant, found a value that is computed; run simplify first"
    )


def _pads(conv: onnx.NodeProto) -> bool:
    for attribute in conv.attribute:
        if attribute.name == "auto_pad" and attribute.s not in (b"NOTSET", b"VALID"):
            return True
        if attribute.name == "pads" and any(attribute.ints):
            return True
    return False


def _convolve(
    conv: onnx.NodeProto, value: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Run ``conv`` without its bias, in float64."""
    node = onnx.NodeProto()
    node.CopyFrom(conv)
    node.input[:] = ["value", "weight"]
    node.output[:] = ["result"]
    kind = TensorProto.DOUBLE
    graph = helper.make_graph(
        [node],
        "convolution",
        [helper.make_tensor_value_info(name, kind, None) for name in node.input],
        [helper.make_tensor_value_info("result", kind, None)],
    )
    runner = ReferenceEvaluator(helper.make_model(graph))
    return _only_output(runner, {"value": value, "weight": weight})


def _only_output(runner: ReferenceEvaluator, inputs: dict[str, NDArray[Any]]) -> NDArray[Any]:
    outputs: Any = runner.run(None, inputs)
    return np.asarray(outputs[0])


def _add_initializer(graph: onnx.GraphProto, name: str, value: NDArray[np.float64]) -> None:
    # A new name each: exporters let equal constants share one tensor.
    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name))


def _add_after(graph: onnx.GraphProto, conv: onnx.NodeProto, constant: str) -> None:
    """Add ``constant`` to the result of ``conv``."""
    result, conv.output[0] = conv.output[0], f"{conv.output[0]}.unshifted"
    add = helper.make_node("Add", [conv.output[0], constant], [result], name=f"{conv.name}.shifted")
    graph.node.insert(list(graph.node).index(conv) + 1, add)


def _enter_as_int8(
    graph: onnx.GraphProto,
    picture: onnx.ValueInfoProto,
    path: list[onnx.NodeProto],
    conv: onnx.NodeProto,
) -> None:
    """Let int8 pixels take the way of the picture, and become float right before ``conv``."""
    moved = {picture.name, *(node.output[0] for node in path)}
    for value in [info for info in graph.value_info if info.name in moved]:
        graph.value_info.remove(value)
    for node in path:
        if node.op_type == "Cast":
            node.op_type = "Identity"
            del node.attribute[:]
    for node in graph.node:
        node.input[:] = [PIXELS if value == picture.name else value for value in node.input]
    picture.name = PIXELS
    picture.type.tensor_type.elem_type = TensorProto.INT8
    as_float = f"{PIXELS}.float"
    cast = helper.make_node(
        "Cast", [conv.input[0]], [as_float], name=as_float, to=TensorProto.FLOAT
    )
    conv.input[0] = as_float
    graph.node.insert(list(graph.node).index(conv), cast)


def _title(node: onnx.NodeProto) -> str:
    return f"{node.op_type} {node.name}"
