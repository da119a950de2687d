"""The normalization folded into the stem: exact at every pixel, borders included."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from convolution import RNG, convolve, random_pixels
from numpy.lib.stride_tricks import sliding_window_view

from edge.model.bundle.read import open_bundle
from export.default_bundle import packages
from export.default_bundle.efficientnet import fold_stem
from export.default_bundle.torch_file import read_state_dict


def halved(u8: np.ndarray) -> np.ndarray:
    channels, height, width = u8.shape
    return u8.reshape(channels, height // 2, 2, width // 2, 2).mean((2, 4), np.float64)


def test_the_folded_stem_is_the_plain_one_to_the_last_digit() -> None:
    weight, bias = RNG.normal(size=(4, 3, 3, 3)), RNG.normal(size=4)
    u8, int8 = random_pixels(16, 24)
    plain = convolve((halved(u8) - 127) / 128, weight, bias, stride=2, border=0)

    folded_weight, folded_bias = fold_stem(weight, bias)
    pads = ((0, 0), (0, 2), (0, 2))
    outputs = {}
    for name, border in (("grey", -1), ("zero", 0)):
        padded = np.pad(int8[0].astype(np.float64), pads, constant_values=border)
        windows = sliding_window_view(padded, (6, 6), (1, 2))[:, ::4, ::4]
        outputs[name] = np.einsum("chwij,ocij->ohw", windows, folded_weight)
        outputs[name] += folded_bias[:, None, None]

    assert np.abs(outputs["grey"] - plain).max() < 1e-12
    wrong = np.abs(outputs["zero"] - plain)
    assert wrong[:, -1].max() > 1e-3, "what a convolution pads by itself is wrong at the border"
    assert wrong[:, :-1, :-1].max() < 1e-12, "and only there"


@pytest.mark.bundle
def test_the_stem_of_the_bundle_is_the_plain_one(
    concepts_bundle: Path, member: Callable[..., Any], run: Callable[..., Any]
) -> None:
    model = onnx.load_model_from_string(open_bundle(concepts_bundle).read("image", "fp32"))
    u8, int8 = random_pixels(288, 512)
    *_, found = run(model, {"pixels": int8}, inner=("classifier.stem",))

    state = read_state_dict(member(packages.EFFICIENTNET_LITE0, ".pth").read_bytes())
    norm = {name: state[f"_bn0.{name}"].astype(np.float64) for name in ("weight", "bias")}
    mean, variance = state["_bn0.running_mean"], state["_bn0.running_var"].astype(np.float64)
    gain = norm["weight"] / np.sqrt(variance + 1e-3)
    picture = (halved(u8) - 127) / 128
    stem = convolve(picture, state["_conv_stem.weight"], np.zeros(32), stride=2, border=0)
    expected = (stem - mean[:, None, None]) * gain[:, None, None] + norm["bias"][:, None, None]
    assert found.shape == (1, 32, 72, 128)
    assert np.abs(found[0] - expected).max() < 1e-4 * np.abs(expected).max()
