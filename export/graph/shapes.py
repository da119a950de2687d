"""Makes the targets of reshapes constant where only the batch is dynamic.

For every reshape, a traced module asks a tensor for its shape, picks numbers out of it and joins
them again. These are some forty nodes per layer that compute nothing, hide the extents from a
compiler and keep it from fusing attention. Only one extent really varies, and ONNX writes -1 for
it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper


def constant_reshapes(
    model: onnx.ModelProto,
    inputs: Mapping[str, NDArray[Any]],
    dynamic: Mapping[str, Mapping[int, str]],
) -> None:
    """Make targets of reshapes constant, in place: a model is large.

    A target becomes constant where two runs with different batches differ in one extent at most.

    Args:
        model: Any graph.
        inputs: Example of each input, by name.
        dynamic: Names of dynamic axes, by tensor name.
    """
    constants = {tensor.name for tensor in model.graph.initializer} | {
        node.output[0] for node in model.graph.node if node.op_type == "Constant"
    }
    computed = [
        node
        for node in model.graph.node
        if node.op_type == "Reshape" and node.input[1] not in constants
    ]
    if not computed:
        return
    names = [node.output[0] for node in computed]
    session = _watching(model, names)
    few, many = (session.run(names, _resized(inputs, dynamic, extra)) for extra in (0, 1))
    for node, one, other in zip(computed, few, many, strict=True):
        extents = zip(one.shape, other.shape, strict=True)
        target = np.array([a if a == b else -1 for a, b in extents], np.int64)
        if (target == -1).sum() <= 1:
            name = f"{node.output[0]}.shape"
            model.graph.initializer.append(numpy_helper.from_array(target, name))
            node.input[1] = name
    _remove_unused(model.graph)


def _remove_unused(graph: onnx.GraphProto) -> None:
    """Remove the nodes that computed the targets, and all others whose results nothing reads."""
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.isdisjoint(node.output):
            continue
        needed.update(node.input)
        # A loop or a branch inside a node may read values of this graph.
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                needed.update(name for step in inner.node for name in step.input)
        kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    tensors = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(tensors)


def _resized(
    inputs: Mapping[str, NDArray[Any]], dynamic: Mapping[str, Mapping[int, str]], extra: int
) -> dict[str, NDArray[Any]]:
    """Return the examples with each dynamic axis longer by ``extra`` repeated entries."""
    resized = dict(inputs)
    for name in inputs:
        for axis in dynamic.get(name, {}):
            extent = resized[name].shape[axis]
            resized[name] = resized[name].take(np.arange(extent + extra) % extent, axis)
    return resized


def _watching(model: onnx.ModelProto, names: list[str]) -> onnxruntime.InferenceSession:
    """Return a session of ``model`` that also outputs the tensors ``names``."""
    outputs = model.graph.output
    own = len(outputs)
    present = {value.name for value in outputs}
    outputs.extend(onnx.ValueInfoProto(name=name) for name in names if name not in present)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # Optimizations may remove a reshape.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    data = model.SerializeToString()
    del outputs[own:]
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
