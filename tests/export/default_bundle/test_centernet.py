"""The converted detector: exact borders over int8 pixels, and files that are refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from convolution import RNG, convolve, random_pixels
from onnx import TensorProto

from edge.errors import ModelError
from export.default_bundle import centernet, packages
from export.default_bundle.graph import Graph


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
