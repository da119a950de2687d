"""Quantizes a graph to static INT8: ranges come from calibration samples and are fixed."""

from collections.abc import Collection, Sequence

import onnx

from export.quantize.qdq import insert_qdq
from export.quantize.ranges import Sample, measure_ranges


def quantize_static(
    model: onnx.ModelProto, samples: Sequence[Sample], keep_float: Collection[str] = ()
) -> onnx.ModelProto:
    """Return ``model`` with Conv, MatMul and Gemm in INT8.

    Args:
        model: Float graph, simplified; ``pixels`` may be int8 already.
        samples: Inputs by name, which fix the ranges of activations.
        keep_float: Names of nodes that stay in float.

    Raises:
        ModelError: There is no sample, a value is not finite, or a node is unknown.
    """
    return insert_qdq(model, measure_ranges(model, samples), keep_float)
