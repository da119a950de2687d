"""Computes weight ranges for INT8 that is right on every x86 CPU, with or without VNNI.

A CPU without VNNI multiplies unsigned by signed bytes in pairs of neighbours along the input
channels and adds the two products into 16 bits that saturate (VPMADDUBSW). Twice 255 * 127 does not
fit, so the same INT8 file is right on one box and wrong on the next. The usual remedy, weights of 7
bits, halves the resolution of every channel for the sake of a few pairs. But it is enough that two
neighbours together stay within 128. Only channels where they exceed it need a wider range.

The table has the cosine to float (mean, worst) in exact arithmetic, ONNX Runtime and OpenVINO. It
was measured on the default bundle's classifier with 21 frames of unseen footage (7 bits: 42 frames
of the same clips) on an AVX2 CPU:

===================  =============  =============  =============
8 bits               0.998, 0.989   0.948, 0.801   0.946, 0.807
7 bits               0.984, 0.847   0.984, 0.843
these ranges         0.998, 0.986   0.998, 0.984   0.997, 0.988
===================  =============  =============  =============
"""

import numpy as np
from numpy.typing import NDArray


def channel_ranges(weight: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the largest magnitude that each channel's scale must reach.

    With ``scale = range / 127``, two neighbouring weights of one sign sum to at most 128 after
    rounding, and 2 * 255 * 64 = 32640 fits into 16 bits.

    Args:
        weight: Weights [O, I, ...]: output channels first, then input channels.

    Returns:
        Largest weight of each channel, or its largest sum of two neighbours, whichever is more;
        float64 [O].
    """
    wide = weight.astype(np.float64)
    if wide.shape[1] % 2:
        wide = np.concatenate([wide, np.zeros_like(wide[:, :1])], axis=1)
    ranges = np.abs(wide).reshape(len(wide), -1).max(axis=1)
    for sign in (1, -1):
        one_sign = np.maximum(sign * wide, 0)
        pairs = one_sign[:, 0::2] + one_sign[:, 1::2]
        ranges = np.maximum(ranges, pairs.reshape(len(wide), -1).max(axis=1))
    return np.asarray(ranges)
