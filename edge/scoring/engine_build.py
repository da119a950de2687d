"""Builds the engines of a GPU while the CPU serves, and hands them to the daemon's loop.

TensorRT builds an engine on the device that runs it, once, and takes minutes. Cameras do not wait
for that: the daemon begins with the fastest variant that opens at once, and a thread of its own
builds meanwhile. Engines that pass their self-test and are faster take over between two samples;
otherwise everything stays as it was, and the state of the device says why.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from edge.errors import EngineError, ModelError
from edge.model.bundle.manifest import Role
from edge.model.choice import ms_of_row, trying_variant
from edge.model.engines import EngineSettings
from edge.model.engines.interruptible import interruptible
from edge.model.graphs import open_graph, prove
from edge.model.variants import Variant
from edge.scoring.open import Models, Running
from edge.system.workers import WorkerThread

_log = logging.getLogger(__name__)

_GPU: Final = EngineSettings("GPU")
# How often a wait for the loop looks whether the daemon stops.
_TICK_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """How far a build is.

    Attributes:
        kind: Runtime that builds.
        role: Graph that is being built.
        done: Number of graphs that are built and proven.
        total: Number of all graphs.
        seconds: Time since the build began, seconds.
    """

    kind: str
    role: Role
    done: int
    total: int
    seconds: float


class EngineBuild:
    """Worker that builds engines, proves them, and hands them over.

    Args:
        models: Models that serve meanwhile. Only the loop runs their engines.
        variant: What to build; it has the precision of the models.
        hand_over: Gives the engines to the loop; the future is done when they run.

    Attributes:
        error: Reason why the engines do not run, in words; None while nothing has failed.
    """

    def __init__(
        self,
        models: Models,
        variant: Variant,
        hand_over: Callable[[Mapping[Role, Running]], "Future[None]"],
    ) -> None:
        self.error: str | None = None
        self._models = models
        self._variant = variant
        self._hand_over = hand_over
        self._under_way: tuple[Role, int, float] | None = None
        self._stopping = threading.Event()
        self._thread = WorkerThread("engines", self._run)

    def start(self) -> None:
        """Begin to build."""
        self._thread.start()

    @property
    def failed(self) -> bool:
        """Whether an error that nobody expected has ended the thread."""
        return self._thread.failed

    def stop(self, timeout_s: float) -> bool:
        """Ask the thread to end. A runtime that builds does not: the process ends without it."""
        self._stopping.set()
        return self._thread.join(timeout_s)

    def progress(self) -> BuildProgress | None:
        """Return how far the build is; None before it begins and after its end."""
        under_way = self._under_way
        if under_way is None:
            return None
        role, done, began = under_way
        seconds = round(time.monotonic() - began, 1)
        return BuildProgress(self._variant.kind, role, done, len(self._models.graphs), seconds)

    def _run(self) -> None:
        began = time.monotonic()
        before = self._models.used
        try:
            with ExitStack() as unused:
                graphs = self._built(began, unused)
                refusal = self._slower(graphs)
                if refusal is None and self._taken_over(graphs):
                    unused.pop_all()  # they are the models' now
                    took_s = time.monotonic() - began
                    _log.info(
                        "%s from now on, %s until now: %.0f s", self._models.used, before, took_s
                    )
        except (EngineError, ModelError) as exc:
            refusal = f"{self._variant} cannot run: {exc}"
        finally:
            self._under_way = None
        if refusal is not None:
            self.error = f"{refusal}; the model goes on in {before}"
            _log.warning("%s", self.error)

    def _taken_over(self, graphs: Mapping[Role, Running]) -> bool:
        """Hand the engines over and wait for the loop; False where the daemon stops first."""
        taken = self._hand_over(graphs)
        while not wait([taken], _TICK_S).done:
            if self._stopping.is_set():
                return False
        taken.result()
        return True

    def _built(self, began: float, unused: ExitStack) -> dict[Role, Running]:
        graphs: dict[Role, Running] = {}
        bundle, stop = self._models.bundle, self._models.stop
        for role, now in self._models.graphs.items():
            self._under_way = role, len(graphs), began
            stop.check()
            variant = Variant(self._variant.kind, self._variant.format, now.variant.precision)
            with trying_variant(self._models.attempts, bundle, role, variant, _GPU):
                engine = open_graph(bundle, role, variant, _GPU)
                unused.callback(engine.close)
                graphs[role] = Running(engine, variant, prove(bundle, role, variant, engine, stop))
        return graphs

    def _slower(self, graphs: Mapping[Role, Running]) -> str | None:
        """Say that the engines are no faster than those that serve; None where they are.

        Those that serve belong to the loop, so an engine of its own is timed.
        """
        bundle, stop = self._models.bundle, self._models.stop
        role, now = next(iter(self._models.graphs.items()))
        engine = open_graph(bundle, role, now.variant, self._models.settings)
        try:
            present_ms = ms_of_row(interruptible(engine, stop), bundle)
        finally:
            engine.close()
        ms = ms_of_row(interruptible(graphs[role].engine, stop), bundle)
        _log.info("%s: %.1f ms a picture, %s: %.1f ms", now.variant, present_ms, self._variant, ms)
        if ms < present_ms:
            return None
        return f"{self._variant} is no faster: {ms:.1f} ms a picture, not {present_ms:.1f} ms"
