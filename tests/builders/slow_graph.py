"""Graphs that take long: a matrix is multiplied by itself, again and again."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 1024


def slow_nodes(entry: str, rounds: int) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Nodes and weights from ``entry`` [N, 1] to ``slow`` [N, 1], a mean of about 1e-9.

    A round takes about 10 ms of one core for each row.
    """
    nodes = [
        helper.make_node("Unsqueeze", [entry, "last"], ["raised"]),
        helper.make_node("Expand", ["raised", "square"], ["y0"]),  # [N, SIDE, SIDE]
    ]
    for number in range(rounds):
        nodes += [
            helper.make_node("MatMul", [f"y{number}", f"y{number}"], [f"product{number}"]),
            helper.make_node("Softmax", [f"product{number}"], [f"y{number + 1}"], axis=-1),
        ]
    nodes += [
        helper.make_node("ReduceMean", [f"y{rounds}"], ["slow_mean"], axes=[1], keepdims=0),
        helper.make_node("ReduceMean", ["slow_mean"], ["mean_of_all"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["mean_of_all", "tiny"], ["slow"]),
    ]
    weights = [
        numpy_helper.from_array(np.array([2], np.int64), "last"),
        numpy_helper.from_array(np.array([1, SIDE, SIDE], np.int64), "square"),
        numpy_helper.from_array(np.array([1e-6], np.float32), "tiny"),
    ]
    return nodes, weights


def slow_model(rounds: int) -> bytes:
    """``x`` float32 [1, 1] to ``slow`` float32 [1, 1]."""
    nodes, weights = slow_nodes("x", rounds)
    entry = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1])
    result = helper.make_tensor_value_info("slow", TensorProto.FLOAT, [1, 1])
    graph = helper.make_graph(nodes, "slow", [entry], [result], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    data: bytes = model.SerializeToString()
    return data


def slowed(text_model: bytes, rounds: int) -> bytes:
    """The tiny bundle's text graph, ``rounds`` slower for each row; the answers are the same."""
    model = onnx.load_from_string(text_model)
    graph = model.graph
    (last,) = [node for node in graph.node if node.op_type == "LpNormalization"]
    nodes, weights = slow_nodes("mean_of_raw", rounds)
    extra = [
        helper.make_node("ReduceMean", ["raw"], ["mean_of_raw"], axes=[1], keepdims=1),
        *nodes,
        helper.make_node("Add", ["raw", "slow"], ["raw_and_slow"]),
    ]
    graph.node.remove(last)
    last.input[0] = "raw_and_slow"
    graph.node.extend([*extra, last])
    graph.initializer.extend(weights)
    data: bytes = model.SerializeToString()
    return data
