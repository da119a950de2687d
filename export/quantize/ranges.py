"""Measures how large the values between layers get over calibration samples.

The ranges are measured once and used by every quantized graph that ``fallback`` tries. The graph
itself reduces each tensor to one number, so memory is that of one sample, however many there are.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edge.errors import ModelError
from export.graph.reshape import to_bytes
from export.quantize.qdq import layers

Sample = Mapping[str, NDArray[Any]]


def measure_ranges(model: onnx.ModelProto, samples: Sequence[Sample]) -> dict[str, float]:
    """Return the largest magnitude of each value that a layer reads.

    Args:
        model: Float graph.
        samples: Inputs by name, one call for each sample; at least one sample.

    Raises:
        ModelError: There is no sample, or a value is not finite.
    """
    if not samples:
        raise ModelError("expected calibration samples, found none")
    names = sorted({value for layer in layers(model) for value in layer.activations})
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    graph = probed.graph
    del graph.output[:]
    for name in names:
        size, largest = f"{name}.size", f"{name}.largest"
        graph.node.extend(
            [
                helper.make_node("Abs", [name], [size]),
                helper.make_node("ReduceMax", [size], [largest], keepdims=0),
            ]
        )
        graph.output.append(helper.make_tensor_value_info(largest, TensorProto.FLOAT, []))
    session = onnxruntime.InferenceSession(to_bytes(probed), providers=["CPUExecutionProvider"])
    found = np.max([session.run(None, dict(sample)) for sample in samples], axis=0)
    if not np.isfinite(found).all():
        wrong = ", ".join(
            name for name, size in zip(names, found, strict=True) if not np.isfinite(size)
        )
        raise ModelError(
            f"expected finite values on the calibration samples, found NaN or infinity in {wrong}; "
            "the checkpoint or the export is broken"
        )
    return dict(zip(names, map(float, found), strict=True))
