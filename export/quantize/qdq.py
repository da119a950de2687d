"""Inserts Q/DQ around the layers of a graph: one INT8 graph for all three runtimes.

The graph has the strict form that TensorRT demands and that OpenVINO and ONNX Runtime accept:
signed and symmetric everywhere, scalar scales for activations, one scale per output channel for
weights, weights stored as int8 behind a DequantizeLinear alone, biases and outputs in float. Only
Conv, MatMul and Gemm get Q/DQ, because they take the time; Softmax and LayerNormalization stay in
float.

``quantize_static`` of ONNX Runtime writes the same nodes and numbers (a test compares them). But it
measures ranges anew on each call, writes large graphs to disk several times, cannot start from int8
pixels, and gives all activations 8 bits. So this module is written by hand
(docs/adr/0010-quantizer.md).

Weights get the ranges of ``weight_ranges``. x86 CPUs without VNNI add the products of two
neighbours into 16 bits that saturate; with plain 8-bit weights, ONNX Runtime and OpenVINO are off
by up to 99 % there (a test has both). In a product of attention, the second factor takes the place
of the weights and is not known beforehand, so its scale leaves it 7 bits. The convolution that
reads the pixels has plain 8 bits. Its input is signed and comes from no layer: OpenVINO then halves
the weights by itself, which rounds them to one bit less, and ONNX Runtime computes it in float, as
long as no Q follows at once.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge.errors import ModelError
from export.graph.pixels import MOVERS
from export.quantize.weight_ranges import channel_ranges

# Largest magnitude as an integer: of 8 bits, and of the 7 bits of a product's second factor.
LEVELS, FACTOR_LEVELS = 127, 64
# The smallest positive float16. A dead channel may have a smaller scale, which would become 0 in
# the FP16 variant, and TensorRT refuses a scale of 0.
_SCALE_FLOOR = 2.0**-24


@dataclass(frozen=True, slots=True)
class Layer:
    """A node that can multiply in INT8.

    Attributes:
        node: The node itself.
        activations: Names of the computed values that it reads.
        weight: Name of the constant that it reads; None for a product of two computed values
            (attention).
        axis: Axis of the weight's output channels.
    """

    node: onnx.NodeProto
    activations: tuple[str, ...]
    weight: str | None
    axis: int


def layers(model: onnx.ModelProto) -> list[Layer]:
    """Return the layers of ``model``, in the order of its nodes."""
    constants = {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}
    return [layer for node in model.graph.node if (layer := _layer(node, constants))]


def _layer(node: onnx.NodeProto, constants: Mapping[str, int]) -> Layer | None:
    """Return ``node`` as a layer, or None; ``constants`` are the ranks of constants by name."""
    if node.op_type not in ("Conv", "MatMul", "Gemm") or node.input[0] in constants:
        return None
    activation, weight = node.input[:2]
    if weight not in constants:
        both = node.op_type == "MatMul"
        return Layer(node, (activation, weight), None, 0) if both else None
    match node.op_type, constants[weight]:
        case "Conv", _:
            axis = 0
        case "Gemm", 2:
            transposed = any(attr.name == "transB" and attr.i for attr in node.attribute)
            axis = 0 if transposed else 1
        case "MatMul", 2:
            axis = 1
        case _:
            return None
    return Layer(node, (activation,), weight, axis)


def insert_qdq(
    model: onnx.ModelProto, ranges: Mapping[str, float], keep_float: Collection[str] = ()
) -> onnx.ModelProto:
    """Return ``model`` with its layers in INT8.

    Int8 ``pixels`` of the graph enter unchanged, through a DequantizeLinear of scale 1.

    Args:
        model: Float graph.
        ranges: Largest magnitude of each value that a layer reads.
        keep_float: Names of layers that stay in float.

    Raises:
        ModelError: A name in ``keep_float`` is not that of a layer.
    """
    chosen = layers(model)
    if unknown := set(keep_float) - {layer.node.name for layer in chosen}:
        raise ModelError(f"expected names of layers to keep in float, found {sorted(unknown)}")
    by_name = {layer.node.name: layer for layer in chosen if layer.node.name not in keep_float}
    read = {value for layer in by_name.values() for value in layer.activations}
    as_weights = {layer.activations[1] for layer in by_name.values() if layer.weight is None}
    inserted = _Inserted(model.graph, ranges, as_weights)
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        if layer := by_name.get(node.name):
            for position, value in enumerate(node.input[:2]):
                if value == layer.weight:
                    first = inserted.is_bytes(node.input[0]) and not read & set(node.output)
                    copied.input[position] = inserted.weight(value, layer.axis, plain=first)
                else:
                    copied.input[position] = inserted.activation(value)
            nodes.extend(inserted.new_nodes())
        nodes.append(copied)
    quantized = onnx.ModelProto()
    quantized.CopyFrom(model)
    graph = quantized.graph
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(_alive(nodes, {value.name for value in graph.output}))
    used = {value for node in graph.node for value in node.input}
    graph.initializer.extend(
        tensor for tensor in (*model.graph.initializer, *inserted.constants) if tensor.name in used
    )
    onnx.checker.check_model(quantized, full_check=True)
    return quantized


class _Inserted:
    """Q/DQ pairs of one graph: one pair for each value, however many layers read it."""

    def __init__(
        self, graph: onnx.GraphProto, ranges: Mapping[str, float], as_weights: Collection[str]
    ) -> None:
        self._ranges, self._as_weights = ranges, as_weights
        self._weights = {tensor.name: tensor for tensor in graph.initializer}
        self._bytes = _bytes_behind_casts(graph)
        self._done: dict[str, str] = {}
        self._nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def new_nodes(self) -> Iterator[onnx.NodeProto]:
        """Yield the nodes that were inserted since the last call."""
        nodes, self._nodes = self._nodes, []
        yield from nodes

    def is_bytes(self, value: str) -> bool:
        """Return whether ``value`` is a cast int8 input of the graph."""
        return value in self._bytes

    def activation(self, value: str) -> str:
        """Return the name of ``value``, quantized and dequantized."""
        if value not in self._done:
            if (pixels := self._bytes.get(value)) is not None:
                scale, quantized = np.ones((), np.float32), pixels
            else:
                levels = FACTOR_LEVELS if value in self._as_weights else LEVELS
                scale = _scale(np.asarray(self._ranges[value]), levels)
                quantized = f"{value}.q"
            constants = self._scale_and_zero(value, scale)
            if quantized != pixels:
                self._add("QuantizeLinear", [value, *constants], quantized)
            self._done[value] = self._add(
                "DequantizeLinear", [quantized, *constants], f"{value}.dq"
            )
        return self._done[value]

    def weight(self, value: str, axis: int, *, plain: bool) -> str:
        """Store the constant ``value`` as int8 and return the name of its dequantized form.

        Args:
            value: Name of the constant.
            axis: Axis of its output channels.
            plain: Whether all 8 bits are used, without room for the sum of two neighbours.
        """
        key = f"{value}.axis{axis}"  # two layers may share a weight
        if key not in self._done:
            weight = numpy_helper.to_array(self._weights[value]).astype(np.float64)
            rows = np.moveaxis(weight, axis, 0)  # [O, I, ...]
            largest = np.abs(rows).reshape(len(rows), -1).max(axis=1)
            scale = _scale(largest if plain else channel_ranges(rows), LEVELS)
            columns = [-1 if dim == axis else 1 for dim in range(weight.ndim)]
            stored = np.round(weight / scale.reshape(columns)).clip(-LEVELS, LEVELS)
            self._constant(f"{key}.q", stored.astype(np.int8))
            constants = self._scale_and_zero(key, scale)
            self._done[key] = self._add(
                "DequantizeLinear", [f"{key}.q", *constants], f"{key}.dq", axis=axis
            )
        return self._done[key]

    def _scale_and_zero(self, value: str, scale: NDArray[np.float32]) -> list[str]:
        return [
            self._constant(f"{value}.scale", scale),
            self._constant(f"{value}.zero", np.zeros(scale.shape, np.int8)),
        ]

    def _constant(self, name: str, value: NDArray[np.float32] | NDArray[np.int8]) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def _add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output


def _scale(largest: NDArray[np.float64], levels: int) -> NDArray[np.float32]:
    return np.asarray(np.maximum(largest / levels, _SCALE_FLOOR), np.float32)


def _bytes_behind_casts(graph: onnx.GraphProto) -> dict[str, str]:
    """Return the int8 value behind each float value that is a cast int8 input of the graph."""
    known = {v.name for v in graph.input if v.type.tensor_type.elem_type == TensorProto.INT8}
    found = {}
    for node in graph.node:
        if node.input and node.input[0] in known:
            if node.op_type == "Cast":
                found[node.output[0]] = node.input[0]
            elif node.op_type in MOVERS:
                known.add(node.output[0])
    return found


def _alive(nodes: list[onnx.NodeProto], wanted: set[str]) -> list[onnx.NodeProto]:
    """Return the nodes that the values ``wanted`` need; a cast that nothing reads is left out."""
    kept = []
    for node in reversed(nodes):
        if wanted & set(node.output):
            kept.append(node)
            wanted = wanted | set(node.input)
    return kept[::-1]
