"""Wraps an engine so that the end of the daemon interrupts a series of runs."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from edge.model.engines.base import Engine
from edge.system.ending import Stop


def interruptible(engine: Engine, stop: Stop | None) -> Engine:
    """Return an engine that begins no run once the daemon is asked to end.

    Args:
        engine: Open engine. It is closed by its owner.
        stop: Asks the daemon to end; None outside of it, where nothing interrupts.
    """
    return engine if stop is None else InterruptibleEngine(engine, stop)


class InterruptibleEngine:
    """Engine that begins no run once the daemon is asked to end; see ``Engine``.

    Args:
        engine: Open engine. It is closed by its owner.
        stop: Asks the daemon to end.
    """

    def __init__(self, engine: Engine, stop: Stop) -> None:
        self._engine = engine
        self._stop = stop
        self.name, self.runtime, self.device = engine.name, engine.runtime, engine.device
        self.inputs, self.outputs = engine.inputs, engine.outputs

    def run(self, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the graph once.

        Raises:
            Ended: The daemon is asked to end.
            InferenceError: As ``Engine.run``.
        """
        self._stop.check()
        return self._engine.run(tensors)

    def close(self) -> None:
        self._engine.close()
