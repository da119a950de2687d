"""Builds EfficientNet-Lite0 as ONNX nodes that read int8 pixels of twice its own resolution.

The network (Google, 2020) takes pixels as ``(u8 - 127) / 128``. The detector shares its input here
and needs a finer picture, so the network first halves the picture by a 2x2 mean. It ends in a
global average, so it takes a wide picture without a crop and without squeezing it.

The mean, the normalization and the shift by 128 are linear. All three are folded exactly into the
first convolution: its 3x3 kernel with stride 2 becomes 6x6 with stride 4 over int8 pixels. Its zero
padding means "pixel 127", which is -1 as int8: a Pad writes it, so the borders are exact too.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from export.default_bundle.graph import Extent, Graph, same_pads, strided

MEAN, STD = 127.0, 128.0
CLASSES = 1000
_BN_EPSILON = 1e-3


class _Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int
    expand: int
    out: int


class _Block(NamedTuple):
    number: int
    channels: int
    kernel: int
    stride: int
    expand: int
    out: int


# The table of EfficientNet-Lite0: B0 without squeeze-excite, and ReLU6 in place of swish.
_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)

Weights = dict[str, NDArray[Any]]


def _fold_bn(
    weights: Weights, conv: str, norm: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fold a batch normalization into the convolution before it: weight and bias, float64."""
    gain = weights[f"{norm}.weight"].astype(np.float64) / np.sqrt(
        weights[f"{norm}.running_var"].astype(np.float64) + _BN_EPSILON
    )
    weight = weights[f"{conv}.weight"].astype(np.float64) * gain[:, None, None, None]
    return weight, weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * gain


def fold_stem(
    weight: NDArray[np.float64], bias: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fold 2x2 mean, ``(u8 - 127) / 128`` and ``u8 = int8 + 128`` into the stem.

    Args:
        weight: [O,3,3,3] over normalized pixels at the native size.
        bias: [O].

    Returns:
        Weight [O,3,6,6] with twice the stride, and bias, over int8 pixels at twice the size.
    """
    doubled = weight.repeat(2, axis=2).repeat(2, axis=3) / (4.0 * STD)
    return doubled, bias + weight.sum((1, 2, 3)) * (128.0 - MEAN) / STD


def logits(graph: Graph, weights: Weights, pixels: str, size: Extent) -> str:
    """Add the network to ``graph``.

    Args:
        graph: Graph that gets the nodes.
        weights: State dict of the checkpoint.
        pixels: Value name, int8 [N,3,H,W].
        size: H and W, multiples of 32.

    Returns:
        Value name of the logits, float [N,1000].
    """
    extent = strided(size, 2)
    top, left, bottom, right = (2 * n for n in same_pads(extent, 3, 2))
    pads = graph.constant("stem.pads", np.array([0, 0, top, left, 0, 0, bottom, right], np.int64))
    grey = graph.constant("stem.grey", np.array(MEAN - 128, np.int8))
    padded = graph.node("Pad", "stem.pad", [pixels, pads, grey])
    value = graph.node("Cast", "stem.pixels", [padded], to=TensorProto.FLOAT)
    stem = fold_stem(*_fold_bn(weights, "_conv_stem", "_bn0"))
    value = graph.conv("stem", value, *_float32(*stem), stride=4)
    value = graph.clip("stem.relu6", value, 0, 6)
    extent, channels, index = strided(extent, 2), 32, 0
    for stage in _STAGES:
        for repeat in range(stage.repeats):
            stride = stage.stride if repeat == 0 else 1
            block = _Block(index, channels, stage.kernel, stride, stage.expand, stage.out)
            value = _block(graph, weights, value, extent, block)
            extent, channels, index = strided(extent, stride), stage.out, index + 1
    value = graph.conv("head", value, *_float32(*_fold_bn(weights, "_conv_head", "_bn1")))
    value = graph.clip("head.relu6", value, 0, 6)
    value = graph.node("GlobalAveragePool", "pool", [value])
    value = graph.node("Flatten", "flat", [value])
    classifier = [
        graph.constant(f"fc.{part}", weights[f"_fc.{part}"]) for part in ("weight", "bias")
    ]
    return graph.node("Gemm", "logits", [value, *classifier], transB=1)


def _block(
    graph: Graph,
    weights: Weights,
    value: str,
    extent: Extent,
    block: _Block,
) -> str:
    """Add an inverted bottleneck: expand 1x1, depthwise kxk, project 1x1, skip where shapes fit."""
    ours, theirs, skip = f"block{block.number}", f"_blocks.{block.number}", value
    if block.expand != 1:
        fused = _float32(*_fold_bn(weights, f"{theirs}._expand_conv", f"{theirs}._bn0"))
        value = graph.clip(f"{ours}.expand6", graph.conv(f"{ours}.expand", value, *fused), 0, 6)
    value = graph.conv(
        f"{ours}.depthwise",
        value,
        *_float32(*_fold_bn(weights, f"{theirs}._depthwise_conv", f"{theirs}._bn1")),
        stride=block.stride,
        pads=same_pads(extent, block.kernel, block.stride),
        group=block.channels * block.expand,
    )
    value = graph.clip(f"{ours}.depthwise6", value, 0, 6)
    fused = _float32(*_fold_bn(weights, f"{theirs}._project_conv", f"{theirs}._bn2"))
    value = graph.conv(f"{ours}.project", value, *fused)
    if block.stride == 1 and block.channels == block.out:
        value = graph.node("Add", f"{ours}.skip", [value, skip])
    return value


def _float32(
    weight: NDArray[np.float64], bias: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return weight.astype(np.float32), bias.astype(np.float32)
