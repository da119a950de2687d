"""Normalization folded into the first convolutions: exact at every pixel, borders included."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from onnx import TensorProto

from edge.errors import ModelError
from edge.model.bundle.read import open_bundle
from export.default_bundle import centernet, packages
from export.default_bundle.efficientnet import fold_stem
from export.default_bundle.graph import Graph, same_pads
from export.default_bundle.torch_file import read_state_dict

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
    return np.einsum("chwij,ocij->ohw", windows, weight) + bias[:, None, None]


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


def one_convolution(op: str = "Conv2D") -> centernet.GraphModel:
    """A network of the detector's kind that ends after its first convolution."""
    strides = {"strides": {"list": {"i": ["1", "2", "2", "1"]}}}
    nodes = {
        "tower_0/images": {"op": "Placeholder", "attr": {}},
        "kernel": {"op": "Const", "attr": {}},
        "conv": {"op": op, "input": ["tower_0/images", "kernel"], "attr": strides},
        centernet.HEAT: {"op": "Identity", "input": ["conv"], "attr": {}},
    }
    for name, node in nodes.items():
        node["name"] = name
    kernel = RNG.normal(size=(3, 3, 3, 5)).astype(np.float32)
    return centernet.GraphModel(nodes, {"kernel": kernel})


def test_the_detector_sees_black_beyond_the_border(run: Callable[..., Any]) -> None:
    source, graph = one_convolution(), Graph()
    heat = centernet.heat_map(graph, source, "pixels", (32, 64))
    model = graph.model(
        "one", {"pixels": (TensorProto.INT8, ["N", 3, 32, 64])}, {heat: ["N", 5, 16, 32]}
    )
    u8, int8 = random_pixels(32, 64)
    [found] = run(model, {"pixels": int8})

    weight = source.constants["kernel"].transpose(3, 2, 0, 1).astype(np.float64)
    black, grey = (
        convolve(u8, weight, np.zeros(5), stride=2, border=border) for border in (0, 128)
    )
    assert np.abs(found[0] - black).max() < 1e-3
    assert np.abs(found[0] - grey).max() > 10, "128 is what a convolution of int8 pads by itself"


def test_an_operation_that_the_network_does_not_have_is_refused() -> None:
    with pytest.raises(ModelError, match="node conv is a Conv3D, which is not known"):
        centernet.heat_map(Graph(), one_convolution("Conv3D"), "pixels", (32, 64))


@pytest.mark.bundle
@pytest.mark.parametrize(
    ("topology", "weights"),
    [(b"", None), (b"{}", None), (b"[1]", None), (None, b""), (None, b"\0" * 100)],
)
def test_files_that_are_no_graph_model_are_refused(
    member: Callable[..., Any], topology: bytes | None, weights: bytes | None
) -> None:
    if topology is None:
        topology = member(packages.HUMAN, "centernet.json").read_bytes()
    weights = member(packages.HUMAN, "centernet.bin").read_bytes() if weights is None else weights
    with pytest.raises(ModelError, match="CenterNet"):
        centernet.read_graph_model(topology, weights)


@pytest.mark.bundle
def test_weights_longer_than_the_graph_are_refused(member: Callable[..., Any]) -> None:
    topology = member(packages.HUMAN, "centernet.json").read_bytes()
    weights = member(packages.HUMAN, "centernet.bin").read_bytes()
    with pytest.raises(ModelError, match=f"uses {len(weights)} bytes, found {len(weights) + 1}"):
        centernet.read_graph_model(topology, weights + b"\0")
