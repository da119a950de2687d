"""An engine without a graph, from which tests derive engines whose answers they choose."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from edge.model.engines.base import TensorSpec


class EngineDouble:
    """An engine that knows no tensors. A test defines ``run``, and what else it needs."""

    name = "double"
    runtime = "numpy"
    device = "CPU"
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()

    def run(self, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        raise AssertionError(f"expected no question to this engine, found {sorted(tensors)}")

    def close(self) -> None:
        """There is nothing to free."""
