"""An engine that computes with a Python function, and embeddings for it to answer."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edge.model.engines import TensorSpec

ROWS, DIM = 12, 16


def unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


# A narrow cone, as embeddings of real models form.
CONE = unit(np.eye(1, DIM) * 10 + np.random.default_rng(3).standard_normal((ROWS, DIM)) * 0.25)
NOISE = {"pixels": np.random.default_rng(2).integers(-128, 128, (8, 64)).astype(np.int8)}
INPUTS = {"pixels": np.arange(ROWS, dtype=np.int8)[:, None]}
REFERENCES = {"embedding": CONE}
Compute = Callable[..., Mapping[str, np.ndarray]]


class ComputedEngine:
    """An engine that computes with a Python function of its inputs."""

    name: str = "computed"
    runtime: str = "computed 1.0"
    device: str = "CPU"

    def __init__(
        self, compute: Compute, batch: int | None = None, outputs: tuple[str, ...] = ("embedding",)
    ) -> None:
        self.compute = compute
        self.inputs: tuple[TensorSpec, ...] = (TensorSpec("pixels", "int8", (batch, 1)),)
        self.outputs = tuple(TensorSpec(name, "float32", (None, DIM)) for name in outputs)
        self.largest = 0

    def run(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        self.largest = max(self.largest, len(tensors["pixels"]))
        return dict(self.compute(**tensors))

    def close(self) -> None:
        pass


def answering(rows: np.ndarray) -> Compute:
    return lambda pixels: {"embedding": rows[pixels[:, 0]]}
