"""Converts a graph, or the float part of an INT8 graph, to FP16 for TensorRT: half the bytes."""

import copy

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnxruntime.quantization.onnx_model import ONNXModel

from edge.errors import ModelError
from export.graph.reshape import to_opset

# The first opset in which QuantizeLinear takes a float16 scale.
_OPSET = 19
# Operators that sum many values or exponentials, for which float16 has too few bits. TensorRT for
# RTX still fuses them into their neighbours: a tiny ViT has 41 kernels with them in float and
# without.
_IN_FLOAT = ("LayerNormalization", "ReduceL2", "ReduceMean", "Softmax")
# Half of float16's range, so that the sum of two masks ("minus infinity") stays finite.
_LARGEST = 32752.0


def to_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``model`` in float16; its inputs and outputs keep their types.

    Softmax, LayerNormalization, norms and means stay in float32. Constants that float16 cannot
    hold, such as the minus infinity of a mask, are limited to +-32752.

    Raises:
        ModelError: The result is not a valid graph.
    """
    # Imported here, because its import puts its own directory on Python's path.
    from onnxruntime.transformers.float16 import (  # noqa: PLC0415
        DEFAULT_OP_BLOCK_LIST,
        convert_float_to_float16,
    )

    opset = next(entry.version for entry in model.opset_import if not entry.domain)
    current = to_opset(model, _OPSET) if opset < _OPSET else copy.deepcopy(model)
    _limit(current.graph)
    half = convert_float_to_float16(
        current,
        keep_io_types=True,
        op_block_list=[*DEFAULT_OP_BLOCK_LIST, *_IN_FLOAT],
    )
    ordered = ONNXModel(half)
    ordered.topological_sort()  # the casts around float nodes come last
    try:
        onnx.checker.check_model(ordered.model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as exc:
        raise ModelError(f"expected a valid graph in float16, found: {exc}") from exc
    checked: onnx.ModelProto = ordered.model
    return checked


def _limit(graph: onnx.GraphProto) -> None:
    """Limit the constants; the converter would leave infinity as it is."""
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            value = numpy_helper.to_array(tensor)
            if value.size and np.abs(value).max() > _LARGEST:
                limited = value.clip(-_LARGEST, _LARGEST)
                tensor.CopyFrom(numpy_helper.from_array(limited, tensor.name))
