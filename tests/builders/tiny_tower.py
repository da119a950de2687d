"""A seeded vision tower as exporters write it, pictures for it, and how to spoil it for INT8."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MEAN, STD = (122.77, 116.75, 104.09), (68.5, 66.63, 70.32)
SIDE, PATCH, WIDTH, HEADS, LAYERS, DIM = 32, 8, 64, 4, 3, 32
TOKENS = (SIDE // PATCH) ** 2 + 1


class Tower:
    """CLIP's vision tower, node by node: pre-norm, QuickGELU, the class token projected."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Any) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def random(self, *shape: int, mean: float = 0.0, std: float = 0.2) -> str:
        return self.constant(self.rng.normal(mean, std, shape).astype(np.float32))

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        output = f"{op}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def linear(self, value: str, rows: int, columns: int) -> str:
        product = self.add("MatMul", value, self.random(rows, columns, std=rows**-0.5))
        return self.add("Add", product, self.random(columns))

    def norm(self, value: str) -> str:
        gain = self.random(WIDTH, mean=1)
        return self.add("LayerNormalization", value, gain, self.random(WIDTH), axis=-1)

    def heads(self, value: str, perm: list[int]) -> str:
        shape = self.constant(np.array([-1, TOKENS, HEADS, WIDTH // HEADS]))
        return self.add("Transpose", self.add("Reshape", value, shape), perm=perm)

    def attention(self, value: str) -> str:
        query = self.heads(self.linear(value, WIDTH, WIDTH), [0, 2, 1, 3])
        key = self.heads(self.linear(value, WIDTH, WIDTH), [0, 2, 3, 1])
        content = self.heads(self.linear(value, WIDTH, WIDTH), [0, 2, 1, 3])
        scaled = self.add("Mul", query, self.constant(np.float32((WIDTH // HEADS) ** -0.5)))
        weights = self.add("Softmax", self.add("MatMul", scaled, key), axis=-1)
        mixed = self.add("Transpose", self.add("MatMul", weights, content), perm=[0, 2, 1, 3])
        shape = self.constant(np.array([-1, TOKENS, WIDTH]))
        return self.linear(self.add("Reshape", mixed, shape), WIDTH, WIDTH)

    def feed_forward(self, value: str) -> str:
        hidden = self.linear(value, WIDTH, 2 * WIDTH)
        gate = self.add("Sigmoid", self.add("Mul", hidden, self.constant(np.float32(1.702))))
        return self.linear(self.add("Mul", hidden, gate), 2 * WIDTH, WIDTH)

    def model(self) -> onnx.ModelProto:
        weight = self.random(WIDTH, 3, PATCH, PATCH, std=0.07)
        patches = self.add("Conv", "picture", weight, strides=[PATCH, PATCH])
        shape = self.constant(np.array([0, WIDTH, -1]))
        patches = self.add("Transpose", self.add("Reshape", patches, shape), perm=[0, 2, 1])
        rows = self.add("Shape", "picture", end=1)
        token = self.add("Concat", rows, self.constant(np.array([1, WIDTH])), axis=0)
        token = self.add("Expand", self.random(1, 1, WIDTH), token)
        value = self.add("Concat", token, patches, axis=1)
        value = self.norm(self.add("Add", value, self.random(1, TOKENS, WIDTH)))
        for _ in range(LAYERS):
            value = self.add("Add", value, self.attention(self.norm(value)))
            value = self.add("Add", value, self.feed_forward(self.norm(value)))
        first = self.norm(self.add("Gather", value, self.constant(np.int64(0)), axis=1))
        rows = self.add("MatMul", first, self.random(WIDTH, DIM))
        self.add("LpNormalization", rows, axis=-1, p=2)
        graph = helper.make_graph(
            self.nodes,
            "tower",
            [helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
            [
                helper.make_tensor_value_info(
                    self.nodes[-1].output[0], TensorProto.FLOAT, ["N", DIM]
                )
            ],
            self.constants,
        )
        opset = [helper.make_opsetid("", 18)]
        return helper.make_model(graph, opset_imports=opset, ir_version=9)


def blobs() -> np.ndarray:
    """int8 [72,3,32,32]: soft blobs of colour, light and dark, with some grain."""
    rng = np.random.default_rng(8)
    coarse = rng.uniform(0, 255, (72, 3, 4, 4)).repeat(8, axis=2).repeat(8, axis=3)
    light = rng.uniform(0.2, 1, (72, 1, 1, 1))
    u8 = (coarse * light + rng.normal(0, 6, coarse.shape)).clip(0, 255).astype(np.uint8)
    return (u8 ^ 0x80).view(np.int8)


def spoilt(vit: onnx.ModelProto, normalization: int, factor: float = 1000) -> onnx.ModelProto:
    """The same function in float, with an outlier channel that INT8 cannot hold.

    The gain of one channel of a LayerNormalization grows by ``factor`` and the weights behind it
    shrink as much: real CLIP checkpoints have such channels.
    """
    model = onnx.ModelProto()
    model.CopyFrom(vit)
    node = [n for n in model.graph.node if n.op_type == "LayerNormalization"][normalization]
    readers = [n for n in model.graph.node if node.output[0] in n.input and n.op_type == "MatMul"]
    factors = [(name, factor, 0) for name in node.input[1:3]]
    factors += [(reader.input[1], 1 / factor, 0) for reader in readers]
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, by, row in factors:
        value = numpy_helper.to_array(tensors[name]).copy()
        value[row] *= by
        tensors[name].CopyFrom(numpy_helper.from_array(value, name))
    return model
