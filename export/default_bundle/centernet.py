"""Converts MobileNetV3-CenterNet (80 COCO classes) from TensorFlow.js files to ONNX nodes.

It needs no TensorFlow. The graph model is a JSON list of TensorFlow nodes and one binary of
weights, stored as float16. It takes RGB 0..255 in NHWC and gives one heat map per class at a
quarter of the resolution. The converter knows only the operations that this network uses and
refuses any other by name. SAME padding of the first convolution writes pixel 0, which is -128 as
int8: an explicit Pad writes it, so int8 pixels are exact here too.
"""

import base64
import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from edge.errors import ModelError
from export.default_bundle.graph import Extent, Graph, same_pads, strided

STRIDE = 4
CLASSES = 80
HEAT = "tower_0/keypoints"
EDGES = "tower_0/wh"
_INPUT = "tower_0/images"


@dataclass(frozen=True)
class GraphModel:
    """A TensorFlow.js graph model: nodes by name, constants by name (TensorFlow layout)."""

    nodes: dict[str, dict[str, Any]]
    constants: dict[str, NDArray[Any]]


def read_graph_model(topology: bytes, weights: bytes) -> GraphModel:
    """Parse ``centernet.json`` and ``centernet.bin``.

    Raises:
        ModelError: The files are of another form, or do not belong together.
    """
    constants: dict[str, NDArray[Any]] = {}
    offset = 0
    try:
        document = json.loads(topology)
        for entry in (w for group in document["weightsManifest"] for w in group["weights"]):
            stored = entry.get("quantization", {}).get("dtype", entry["dtype"])
            values = np.frombuffer(weights, np.dtype(stored), math.prod(entry["shape"]), offset)
            offset += values.nbytes
            constants[entry["name"]] = values.reshape(entry["shape"]).astype(entry["dtype"])
        nodes = {node["name"]: node for node in document["modelTopology"]["node"]}
    except (KeyError, TypeError, ValueError) as exc:
        raise ModelError(
            f"CenterNet: expected a TensorFlow.js graph and its weights, found: {exc!r}"
        ) from exc
    if offset != len(weights):
        raise ModelError(f"CenterNet weights: the graph uses {offset} bytes, found {len(weights)}.")
    return GraphModel(nodes, constants)


def heat_map(graph: Graph, source: GraphModel, pixels: str, size: Extent) -> str:
    """Add the network up to its class heat map to ``graph``.

    Args:
        graph: Graph that gets the nodes.
        source: The network.
        pixels: Value name, int8 [N,3,H,W].
        size: H and W, multiples of 32.

    Returns:
        Value name of the heat map, float [N,80,H/4,W/4], 0..1.
    """
    return _Converter(graph, source, pixels, size).value(HEAT)


def heat_and_edges(graph: Graph, source: GraphModel, pixels: str, size: Extent) -> tuple[str, str]:
    """Add the network up to its heat map and its map of distances; arguments as ``heat_map``.

    Returns:
        Two value names. The heat map: as ``heat_map`` gives it. The distances: float
        [N,4,H/4,W/4], in pixels, from each place to the left, top, right and bottom edge of the box
        around it.
    """
    converter = _Converter(graph, source, pixels, size)
    return converter.value(HEAT), converter.value(EDGES)


class _Converter:
    """Walks from an output back to the input, and adds each TensorFlow node once."""

    def __init__(self, graph: Graph, source: GraphModel, pixels: str, size: Extent) -> None:
        self._graph, self._source = graph, source
        self._pixels, self._size = pixels, size
        self._done: dict[str, str] = {}
        self._extent: dict[str, Extent] = {}

    def value(self, name: str) -> str:
        """Return the ONNX value of a TensorFlow node; add the node first where it is missing."""
        if name not in self._done:
            node = self._source.nodes[name]
            handler = _HANDLERS.get(node["op"])
            if handler is None:
                raise ModelError(f"CenterNet: node {name} is a {node['op']}, which is not known.")
            inputs = [i for i in node.get("input", []) if not i.startswith("^")]
            self._done[name] = handler(self, name.replace("/", "."), node, inputs)
        return self._done[name]

    def _scalar(self, name: str) -> str:
        """Return a constant operand; one value per channel, [C], becomes [C,1,1]."""
        if name not in self._done:
            array = self._source.constants[name]
            shaped = array.reshape(-1, 1, 1) if array.ndim == 1 and array.size > 1 else array
            self._done[name] = self._graph.constant(name.replace("/", "."), shaped)
        return self._done[name]

    def _operand(self, name: str) -> str:
        constant = self._source.nodes[name]["op"] == "Const"
        return self._scalar(name) if constant else self.value(name)

    def conv(self, name: str, node: dict[str, Any], inputs: list[str]) -> str:
        kernel = self._source.constants[inputs[1]]  # [kh,kw,C,O], depthwise [kh,kw,C,multiplier]
        depthwise = "Depthwise" in node["op"]
        if depthwise:
            weight = kernel.transpose(2, 3, 0, 1).reshape(-1, 1, *kernel.shape[:2])
        else:
            weight = kernel.transpose(3, 2, 0, 1)
        stride = int(node["attr"]["strides"]["list"]["i"][1])
        fused = [_text(v) for v in node["attr"].get("fused_ops", {}).get("list", {}).get("s", [])]
        bias = self._source.constants[inputs[2]] if "BiasAdd" in fused else None
        entry = self._source.nodes[inputs[0]]["op"] == "Placeholder"
        value = self.value(inputs[0])
        extent = self._extent[value]
        pads = same_pads(extent, kernel.shape[0], stride)
        if entry:
            # The bias takes the 128 of u8 = int8 + 128. The border is pixel 0.
            bias = weight.sum((1, 2, 3)) * 128.0 + (0.0 if bias is None else bias)
            value = self._pad_pixels(value, pads)
            pads = (0, 0, 0, 0)
        out = self._graph.conv(
            name, value, weight, bias, stride=stride, pads=pads,
            group=len(weight) if depthwise else 1,
        )  # fmt: skip
        if fused and fused[-1] == "Relu":
            out = self._graph.node("Relu", f"{name}.relu", [out])
        elif fused and fused[-1] != "BiasAdd":
            raise ModelError(f"CenterNet: {name} fuses {fused[-1]}, which is not known.")
        self._extent[out] = strided(extent, stride)
        return out

    def _pad_pixels(self, value: str, pads: tuple[int, int, int, int]) -> str:
        top, left, bottom, right = pads
        amounts = self._graph.constant(
            "entry.pads", np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
        )
        black = self._graph.constant("entry.black", np.array(-128, np.int8))
        padded = self._graph.node("Pad", "entry.padded", [value, amounts, black])
        return self._graph.node("Cast", "entry.float", [padded], to=TensorProto.FLOAT)

    def placeholder(self, _name: str, _node: dict[str, Any], _inputs: list[str]) -> str:
        self._extent[self._pixels] = self._size
        return self._pixels

    def elementwise(self, name: str, node: dict[str, Any], inputs: list[str]) -> str:
        op = {"Mul": "Mul", "Add": "Add"}[node["op"]]
        operands = [self._operand(i) for i in inputs]
        return self._keep(self._graph.node(op, name, operands), operands)

    def unary(self, name: str, node: dict[str, Any], inputs: list[str]) -> str:
        value = self.value(inputs[0])
        return self._keep(self._graph.node(node["op"], name, [value]), [value])

    def relu6(self, name: str, _node: dict[str, Any], inputs: list[str]) -> str:
        value = self.value(inputs[0])
        return self._keep(self._graph.clip(name, value, 0, 6), [value])

    def mean(self, name: str, _node: dict[str, Any], inputs: list[str]) -> str:
        if sorted(np.ravel(self._source.constants[inputs[1]]).tolist()) != [1, 2]:
            raise ModelError(f"CenterNet: {name} averages other axes than height and width.")
        out = self._graph.node("GlobalAveragePool", name, [self.value(inputs[0])])
        self._extent[out] = (1, 1)
        return out

    def concat(self, name: str, _node: dict[str, Any], inputs: list[str]) -> str:
        values = [self.value(i) for i in inputs[:-1]]  # the last input is the axis: channels
        return self._keep(self._graph.node("Concat", name, values, axis=1), values)

    def upsample(self, name: str, _node: dict[str, Any], inputs: list[str]) -> str:
        # The graph holds target sizes for 512 x 512 as constants. Each doubles its input, so a
        # scale of 2 replaces them. ONNX says "asymmetric" for TensorFlow's half_pixel_centers=False
        # and align_corners=False.
        value = self.value(inputs[0])
        scales = self._graph.constant(f"{name}.scales", np.array([1, 1, 2, 2], np.float32))
        out = self._graph.node(
            "Resize", name, [value, "", scales],
            mode="linear", coordinate_transformation_mode="asymmetric",
        )  # fmt: skip
        height, width = self._extent[value]
        self._extent[out] = (2 * height, 2 * width)
        return out

    def _keep(self, out: str, operands: list[str]) -> str:
        """Note the extent of an elementwise result: its largest operand's, as 1 broadcasts."""
        self._extent[out] = max(self._extent.get(o, (1, 1)) for o in operands)
        return out


_HANDLERS = {
    "Placeholder": _Converter.placeholder,
    "_FusedConv2D": _Converter.conv,
    "Conv2D": _Converter.conv,
    "FusedDepthwiseConv2dNative": _Converter.conv,
    "DepthwiseConv2dNative": _Converter.conv,
    "Mul": _Converter.elementwise,
    "Add": _Converter.elementwise,
    "Relu": _Converter.unary,
    "Sigmoid": _Converter.unary,
    "Identity": _Converter.unary,
    "Relu6": _Converter.relu6,
    "Mean": _Converter.mean,
    "ConcatV2": _Converter.concat,
    "ResizeBilinear": _Converter.upsample,
}


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode()
