"""Wraps an engine that another one can replace between two runs."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from edge.model.engines.base import Engine


class ReplaceableEngine:
    """Engine that passes each run on to the engine of the moment; see ``Engine``.

    Args:
        engine: Open engine, which is closed when it is replaced, or with this one.
    """

    def __init__(self, engine: Engine) -> None:
        self._take(engine)

    def run(self, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return self._engine.run(tensors)

    def replace(self, engine: Engine) -> None:
        """Go on with another engine of the same graph, and close the one of before.

        Only the owner calls this, as it alone calls ``run``.

        Args:
            engine: Open engine that has passed the self-test of the graph.
        """
        before = self._engine
        self._take(engine)
        before.close()

    def close(self) -> None:
        self._engine.close()

    def _take(self, engine: Engine) -> None:
        self._engine = engine
        self.name, self.runtime, self.device = engine.name, engine.runtime, engine.device
        self.inputs, self.outputs = engine.inputs, engine.outputs
