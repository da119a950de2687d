"""A small quantized network, built by hand: patches, two linear layers and one head of attention.

Every layer that has a weight is quantized on both sides as TensorRT wants it. Tests spoil one thing
at a time.
"""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIDE = 32
CHANNELS = 16
PATCH = 8
WIDTH = 32
TOKENS = (SIDE // PATCH) ** 2
DIM = 48
# The layers with a weight, by the names of their nodes.
LAYERS = ("patch", "query", "key", "value", "fc", "proj")


class Network:
    """Nodes and constants of a graph that grows."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.random = np.random.default_rng(0)

    def constant(self, name: str, value: NDArray[Any] | np.generic) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, operator: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def activation(self, value: str, scale: float) -> str:
        """Quantize ``value`` and back."""
        parameters = [
            self.constant(f"{value}_scale", np.float32(scale)),
            self.constant(f"{value}_zero", np.int8(0)),
        ]
        quantized = self.node("QuantizeLinear", [value, *parameters], f"{value}_q")
        return self.node("DequantizeLinear", [quantized, *parameters], f"{value}_dq")

    def weight(self, name: str, shape: tuple[int, ...], axis: int) -> str:
        """A random int8 weight with scales along ``axis``, dequantized."""
        fan_in = np.prod(shape) / shape[axis]
        scales = self.random.uniform(0.5, 1.5, shape[axis]).astype(np.float32)
        parameters = [
            self.constant(f"{name}_w", self.random.integers(-127, 128, shape).astype(np.int8)),
            self.constant(f"{name}_w_scale", scales / np.float32(73 * np.sqrt(fan_in))),
            self.constant(f"{name}_w_zero", np.zeros(shape[axis], np.int8)),
        ]
        return self.node("DequantizeLinear", parameters, f"{name}_w_dq", axis=axis)


def qdq_graph(batch: int | str = "N", conv_axis: int = 0) -> onnx.ModelProto:
    """``pixels`` int8 [N, 16, 32, 32] to ``embedding`` float32 [N, 48], opset 18.

    Args:
        batch: The first axis; a word makes it dynamic.
        conv_axis: Along which axis the convolution's weight has its scales; 0 is right.
    """
    net = Network()
    one = [net.constant("one", np.float32(1 / 64)), net.constant("zero", np.int8(0))]
    net.node("DequantizeLinear", ["pixels", *one], "picture")
    inputs = [
        net.activation("picture", 1 / 64),
        net.weight("patch", (WIDTH, CHANNELS, PATCH, PATCH), conv_axis),
        net.constant("patch_bias", np.full(WIDTH, 0.1, np.float32)),
    ]
    net.node("Conv", inputs, "patch", strides=[PATCH, PATCH])
    net.constant("rows", np.array([0, WIDTH, TOKENS]))
    net.node("Transpose", [net.node("Reshape", ["patch", "rows"], "flat")], "words", perm=[0, 2, 1])
    words = net.activation("words", 0.05)
    for name in ("query", "key", "value"):
        net.node("MatMul", [words, net.weight(name, (WIDTH, WIDTH), 1)], name)
    net.node("Transpose", ["key"], "keys", perm=[0, 2, 1])
    sides = [net.activation("query", 0.05), net.activation("keys", 0.05)]
    logits = net.node("MatMul", sides, "logits")
    scaled = net.node("Mul", [logits, net.constant("root", np.float32(WIDTH**-0.5))], "scaled")
    net.node("Softmax", [scaled], "share", axis=-1)
    sides = [net.activation("share", 1 / 127), net.activation("value", 0.05)]
    net.node("MatMul", sides, "attended")
    net.node("ReduceMean", ["attended", net.constant("along", np.array([1]))], "mean", keepdims=0)
    inputs = [
        net.activation("mean", 0.02),
        net.weight("fc", (64, WIDTH), 0),
        net.constant("fc_bias", np.full(64, 0.1, np.float32)),
    ]
    net.node("Gemm", inputs, "fc", transB=1)
    net.node("Relu", ["fc"], "relu")
    net.node("MatMul", [net.activation("relu", 0.02), net.weight("proj", (64, DIM), 1)], "proj")
    net.node("LpNormalization", ["proj"], "embedding", axis=-1, p=2)
    graph = helper.make_graph(
        net.nodes,
        "qdq",
        [helper.make_tensor_value_info("pixels", TensorProto.INT8, [batch, CHANNELS, SIDE, SIDE])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch, DIM])],
        net.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def set_constant(model: onnx.ModelProto, name: str, value: NDArray[Any] | np.generic) -> None:
    """Give the constant ``name`` another value."""
    [tensor] = [tensor for tensor in model.graph.initializer if tensor.name == name]
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(value), name))


def node(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    """The node ``name``, to be changed in place."""
    found: onnx.NodeProto
    [found] = [node for node in model.graph.node if node.name == name]
    return found
