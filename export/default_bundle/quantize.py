"""Quantizes the classifier of the image graph to INT8; the detector stays in float.

ONNX Runtime's static quantization puts Q/DQ around the classifier's layers. Weights have a scale
per channel. Ranges come from calibration frames, by minimum and maximum (a percentile was no
better). The table compares INT8 with float on 90 frames of six fixed cameras: cosine of the
embedding (mean, worst), and agreement on the top concept.

=================================  =============  =====
every layer                        0.972, 0.789   88 %
all but stem and blocks 0, 1       0.983, 0.852   92 %
all but these, head and logits     0.997, 0.950   96 %
NNCF, every layer, bias corrected  0.973, 0.767   83 %
=================================  =============  =====

The third row is used. The first layers have channels of very unlike ranges, and the last layers
decide between near ties; together they are a fifth of the classifier's arithmetic. The detector
keeps float weights: quantized naively, it loses half of its boxes and gains no speed (measured).

Weights get the ranges of ``export.quantize.weight_ranges``, so that 16-bit sums overflow on no CPU.
"""

import copy
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from export.default_bundle.towers import CLASSIFIER
from export.quantize.weight_ranges import channel_ranges

_OPS = ["Conv", "Clip", "Add"]
_IN_FLOAT = ("stem", "block0.", "block1.", "head", "pool", "flat", "logits")


class _Frames(CalibrationDataReader):  # type: ignore[misc]
    """Calibration frames as the quantizer reads them, one at a time."""

    def __init__(self, frames: NDArray[np.int8]) -> None:
        self._rows: Iterator[NDArray[np.int8]] = iter(frames[:, None])

    def get_next(self) -> dict[str, NDArray[np.int8]] | None:
        row = next(self._rows, None)
        return None if row is None else {"pixels": row}


def quantize_classifier(model: onnx.ModelProto, frames: NDArray[np.int8]) -> onnx.ModelProto:
    """Return ``model`` with its classifier in INT8.

    Args:
        model: Image graph of ``towers``; it is not changed.
        frames: Frames that fix the ranges, int8 [M,3,H,W].
    """
    with tempfile.TemporaryDirectory() as folder, _without_advice():
        target = Path(folder) / "int8.onnx"
        quantize_static(
            copy.deepcopy(model),  # the quantizer moves large weights out of its argument
            target,
            _Frames(frames),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_OPS,
            nodes_to_quantize=[node.name for node in model.graph.node if _becomes_int8(node.name)],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"TensorQuantOverrides": _weight_ranges(model)},
        )
        quantized = onnx.load(target)
    onnx.checker.check_model(quantized, full_check=True)
    return quantized


def _weight_ranges(model: onnx.ModelProto) -> dict[str, list[dict[str, Any]]]:
    """Return the range of each channel, for convolutions that add products of neighbours in pairs.

    A depthwise convolution does not: its sum runs over places, not over channels.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    overrides = {}
    for node in model.graph.node:
        if node.op_type != "Conv" or not _becomes_int8(node.name) or _is_depthwise(node):
            continue
        ranges = channel_ranges(numpy_helper.to_array(weights[node.input[1]]))
        overrides[node.input[1]] = [
            {"axis": 0, "rmin": np.float32(-r), "rmax": np.float32(r)} for r in ranges
        ]
    return overrides


def _is_depthwise(conv: onnx.NodeProto) -> bool:
    return any(attribute.name == "group" and attribute.i > 1 for attribute in conv.attribute)


@contextmanager
def _without_advice() -> Iterator[None]:
    """Silence the quantizer's advice on the root logger to fuse graphs; these graphs are fused."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _becomes_int8(node: str) -> bool:
    layer = node.removeprefix(f"{CLASSIFIER}.")
    return layer != node and not layer.startswith(_IN_FLOAT)
