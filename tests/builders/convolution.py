"""A plain convolution in float64 and random pixels, to compare folded graphs with."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from export.default_bundle.graph import same_pads

RNG = np.random.default_rng(11)


def random_pixels(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [3,H,W] with black and white borders, and the same as the device's int8 [1,3,H,W]."""
    u8 = RNG.integers(0, 256, (3, height, width), np.uint8)
    u8[:, 0], u8[:, -1], u8[:, :, 0], u8[:, :, -1] = 0, 255, 255, 0
    return u8, (u8 ^ 0x80).view(np.int8)[None]


def convolve(
    picture: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int, border: float
) -> np.ndarray:
    """float64 SAME convolution of [C,H,W] with [O,C,k,k]; ``border`` is what lies outside."""
    kernel = weight.shape[2]
    top, left, bottom, right = same_pads(picture.shape[1:], kernel, stride)
    pads = ((0, 0), (top, bottom), (left, right))
    padded = np.pad(picture.astype(np.float64), pads, constant_values=border)
    windows = sliding_window_view(padded, (kernel, kernel), (1, 2))[:, ::stride, ::stride]
    return np.asarray(np.einsum("chwij,ocij->ohw", windows, weight) + bias[:, None, None])
