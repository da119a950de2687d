"""Defines the engine seam: tensors in, tensors out. An engine knows tensors, not CLIP."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of an engine.

    Attributes:
        name: The ONNX value name.
        dtype: NumPy dtype name, such as ``"int8"`` or ``"float32"``.
        shape: Extents; ``None`` for a dynamic axis.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What a caller asks of a runtime.

    Attributes:
        device: The runtime's own device word (``"CPU"``, ``"GPU"``). An engine that cannot get it
            raises ``EngineUnavailable``.
        threads: Inference threads; 0 leaves the choice to the runtime.
        fuse: Whether the runtime may replace operators by its own. Otherwise ONNX Runtime computes
            the graph as it is written.
    """

    device: str = "CPU"
    threads: int = 1
    fuse: bool = True


class Engine(Protocol):
    """An opened model. Not thread-safe: one owner calls ``run``.

    Attributes:
        name: Row in ``edge.model.engines.ENGINES``.
        runtime: Runtime and version, such as ``"openvino 2026.1"``.
        device: The device that is really used, as the runtime reports it.
        inputs: Inputs of the graph, in its order.
        outputs: Outputs of the graph, in its order.
    """

    name: str
    runtime: str
    device: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once. The first axis is the row; no row's result depends on another row.

        A graph that compares (``tensors.with_rows``) uses all of its last input for every row: the
        first axis of that input becomes the second axis of the outputs.

        Args:
            tensors: One array per input name, of its dtype and shape.

        Returns:
            One array per output name, owned by the caller.

        Raises:
            InferenceError: Names, dtypes or shapes do not fit, or the runtime failed.
        """
        ...

    def close(self) -> None:
        """Free the runtime's memory. Closing twice is allowed."""
        ...
