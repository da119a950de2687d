"""One convolution and other small graphs, and a way to run them."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

SIDE = 16
RNG = np.random.default_rng(3)
WEIGHT = RNG.normal(size=(5, 3, 3, 3)).astype(np.float32)
BIAS = RNG.normal(size=5).astype(np.float32)


def model_of(
    nodes: list[onnx.NodeProto],
    shape: Any,
    constants: dict[str, Any],
    inner: None = None,
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """``picture`` to the last node's output; constants by name."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("picture", kind, shape)],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            for name in (nodes[-1].output[0], *([inner] if inner else []))
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return onnx.shape_inference.infer_shapes(model)


def conv_model(*, bias: bool = True, **attributes: Any) -> onnx.ModelProto:
    inputs = ["picture", "weight", *(["bias"] if bias else [])]
    conv = helper.make_node("Conv", inputs, ["found"], name="stem", **attributes)
    constants = {"weight": WEIGHT} | ({"bias": BIAS} if bias else {})
    return model_of([conv], ["N", 3, SIDE, SIDE], constants)


def run(model: onnx.ModelProto, value: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return np.asarray(session.run(None, {session.get_inputs()[0].name: value})[0])
