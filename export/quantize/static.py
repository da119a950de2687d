"""Static INT8: ranges from calibration samples, fixed in the graph."""

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
        samples: Inputs by name that fix the ranges of activations.
        keep_float: Names of nodes that stay in float.

    Raises:
        ModelError: No sample, values that are not finite, or an unknown node.
    """
    return insert_qdq(model, measure_ranges(model, samples), keep_float)
