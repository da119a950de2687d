"""A seeded vision tower as exporters write it, pictures for it, and ways to run it."""

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from tiny_tower import MEAN, STD, Tower, blobs

from edge.model.engines.openvino import core
from export.graph.pixels import PIXELS, fold_pixels
from export.graph.reshape import simplify

Run = Callable[..., np.ndarray]


@pytest.fixture(scope="session")
def exported() -> onnx.ModelProto:
    """``picture`` float [N,3,32,32] to unit rows [N,32]."""
    return Tower(seed=5).model()


@pytest.fixture(scope="session")
def vit(exported: onnx.ModelProto) -> onnx.ModelProto:
    """The same over int8 ``pixels``, simplified: what the quantizer is given."""
    return simplify(fold_pixels(exported, "picture", MEAN, STD))


@pytest.fixture(scope="session")
def frames() -> np.ndarray:
    """int8 [72,3,32,32]: soft blobs of colour, light and dark, with some grain."""
    return blobs()


@pytest.fixture(scope="session")
def samples(frames: NDArray[np.int8]) -> list[dict[str, np.ndarray]]:
    return [{PIXELS: frame[None]} for frame in frames[:48]]


@pytest.fixture(scope="session")
def held_out(frames: NDArray[np.int8]) -> np.ndarray:
    return frames[48:]


@pytest.fixture(scope="session")
def run() -> Run:
    """Run a graph with one input; ``exact`` turns ONNX Runtime's optimizations off."""

    def run(model: onnx.ModelProto, value: np.ndarray, *, exact: bool = True) -> np.ndarray:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        if exact:
            level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            options.graph_optimization_level = level
        session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        return session.run(None, {session.get_inputs()[0].name: value})[0]

    return run


@pytest.fixture(scope="session")
def run_openvino() -> Run:
    def run(model: onnx.ModelProto, value: np.ndarray) -> np.ndarray:
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
        graph = core().read_model(model.SerializeToString())
        compiled = core().compile_model(graph, "CPU", settings)
        return compiled(value)[0]

    return run


@pytest.fixture(scope="session")
def worst() -> Callable[[np.ndarray, np.ndarray], float]:
    """The smallest cosine between rows."""

    def worst(found: np.ndarray, expected: np.ndarray) -> float:
        lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
        return float(((found * expected).sum(1) / lengths).min())

    return worst
