"""Defines what an engine is: tensors go in, tensors come out. It does not know the model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Description of one input or output of an engine.

    Attributes:
        name: Name of the value in ONNX.
        dtype: NumPy dtype name, such as ``"int8"`` or ``"float32"``.
        shape: Extent of each axis; ``None`` for a dynamic axis.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Settings for opening an engine.

    Attributes:
        device: Device in the runtime's own words (``"CPU"``, ``"GPU"``). An engine that cannot use
            it raises ``EngineUnavailable``.
        threads: Number of inference threads; 0 leaves the choice to the runtime.
        fuse: Whether the runtime may replace operators by its own. If not, ONNX Runtime computes
            the graph as it is written.
    """

    device: str = "CPU"
    threads: int = 1
    fuse: bool = True


class Engine(Protocol):
    """Opened model. It is not thread-safe: one owner calls ``run``.

    Attributes:
        name: Name of the engine, a row of ``edge.model.engines.ENGINES``.
        runtime: Name and version of the runtime, such as ``"openvino 2026.1"``.
        device: Device in use, as the runtime reports it.
        inputs: Inputs in the order of the graph.
        outputs: Outputs in the order of the graph.
    """

    name: str
    runtime: str
    device: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the graph once. The first axis is the row, and each row is computed by itself.

        A graph that compares (``tensors.with_rows``) uses its whole last input for every row: the
        first axis of that input becomes the second axis of the outputs.

        Args:
            tensors: Array for each input name, with the dtype and shape of that input.

        Returns:
            Array for each output name, owned by the caller.

        Raises:
            InferenceError: A name, dtype or shape does not fit, or the runtime failed.
        """
        ...

    def close(self) -> None:
        """Free the runtime's memory. Closing twice is allowed."""
        ...
