"""The classifier in INT8, inside a graph whose detector stays in float.

ONNX Runtime's static quantization: Q/DQ around the classifier's layers, weights per channel, ranges
from calibration frames (min and max: a percentile was no better). Measured against float on 90
frames of six fixed cameras, cosine of the embedding (mean, worst) and agreement on the top concept:

=================================  =============  =====
every layer                        0.972, 0.789   88 %
all but stem and blocks 0, 1       0.983, 0.852   92 %
all but these, head and logits     0.997, 0.950   96 %
NNCF, every layer, bias corrected  0.973, 0.767   83 %
=================================  =============  =====

So the third: the first layers carry channels of very unlike ranges, the last ones decide between
near ties. They are a fifth of the classifier's arithmetic. The detector keeps float weights:
quantized naively it loses half of its boxes, and gains no speed (measured).

Weights take 7 of their 8 bits. An x86 CPU without VNNI multiplies unsigned by signed bytes in pairs
and adds each pair into 16 bits that saturate (VPMADDUBSW): 255 * 127 * 2 does not fit, 255 * 64 * 2
does. With 8 bits the same file was right on one box and wrong on the next; measured on 49 frames on
an AVX2 CPU, cosine mean and worst:

========================  ==============  ==============
bits of the weights       8               7
========================  ==============  ==============
exact arithmetic          0.998, 0.991    0.997, 0.988
ONNX Runtime, AVX2        0.960, 0.820    0.997, 0.990
OpenVINO, AVX2            0.961, 0.821    0.997, 0.980
========================  ==============  ==============
"""

import copy
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from export.default_bundle.towers import CLASSIFIER

_OPS = ["Conv", "Clip", "Add"]
_IN_FLOAT = ("stem", "block0.", "block1.", "head", "pool", "flat", "logits")


class _Frames(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, frames: NDArray[np.int8]) -> None:
        self._rows: Iterator[NDArray[np.int8]] = iter(frames[:, None])

    def get_next(self) -> dict[str, NDArray[np.int8]] | None:
        row = next(self._rows, None)
        return None if row is None else {"pixels": row}


def quantize_classifier(model: onnx.ModelProto, frames: NDArray[np.int8]) -> onnx.ModelProto:
    """Return ``model`` with its classifier in INT8.

    Args:
        model: Image graph of ``towers``.
        frames: int8 [M,3,H,W] that fix the ranges.
    """
    with tempfile.TemporaryDirectory() as folder, _without_advice():
        target = Path(folder) / "int8.onnx"
        quantize_static(
            copy.deepcopy(model),  # it moves large weights out of the model it is given
            target,
            _Frames(frames),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_OPS,
            nodes_to_quantize=[node.name for node in model.graph.node if _becomes_int8(node.name)],
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        quantized = onnx.load(target)
    onnx.checker.check_model(quantized, full_check=True)
    return quantized


@contextmanager
def _without_advice() -> Iterator[None]:
    """Silence the quantizer's advice to fuse graphs, on the root logger: ours are fused."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _becomes_int8(node: str) -> bool:
    layer = node.removeprefix(f"{CLASSIFIER}.")
    return layer != node and not layer.startswith(_IN_FLOAT)
