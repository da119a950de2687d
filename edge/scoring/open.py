"""Opens the graphs of a bundle; each passes its self-test before it is used.

The configuration decides runtime and precision; where it leaves a choice, ``edge.model.choice``
measures.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from edge.config.models import EngineConfig
from edge.errors import EngineError, ModelError
from edge.model.bundle.manifest import Precision, Role
from edge.model.bundle.read import Bundle
from edge.model.choice import Choice, choose, trying_variant
from edge.model.engines import Engine, EngineSettings
from edge.model.engines.replaceable import ReplaceableEngine
from edge.model.graphs import open_graph, open_proven, open_text_engine, prove
from edge.model.selftest import Report
from edge.model.variants import Variant
from edge.scoring.frame_class import scoring_of
from edge.system import paths
from edge.system.attempts import NOT_NOTED, Attempts
from edge.system.cache_file import CacheFile
from edge.system.ending import Stop

_log = logging.getLogger(__name__)

CHOICES: Final = "choices"
"""Folder in the daemon's ``state_dir`` for the measurements of ``edge.model.choice``."""


@dataclass(frozen=True, slots=True)
class Running:
    """An open graph that passed its self-test.

    Attributes:
        engine: What runs it; names the runtime and the device.
        variant: Runtime, file format and precision.
        report: Result of the self-test; None with the null engine, which has nothing to prove.
    """

    engine: Engine
    variant: Variant
    report: Report | None


class Models:
    """The graphs of a bundle on one engine. Close it, or use ``with``.

    Attributes:
        bundle: The bundle of the graphs.
        variant: The variant that was chosen. It opens the text graph and the regions, also where
            ``take_over`` has replaced the engines of samples.
        settings: Settings of the engine, from the configuration.
        choice: The choice and what was measured for it.
        failed: The earlier choice that no longer passes its self-test, and why; None where all is
            well.
        main: The graph that sees the pictures.
        scoring: What the bundle's frame class does with samples and sentences.
        text_precision: Precision of the text graph.
        stop: Asks the daemon to end.
        sentences: Keeps what the text graph makes of sentences; None keeps nothing.
        attempts: Notes what may end the process while it is tried.
    """

    def __init__(
        self,
        bundle: Bundle,
        variant: Variant,
        settings: EngineSettings,
        choice: Choice,
        failed: str | None = None,
        stop: Stop | None = None,
        sentences: CacheFile | None = None,
        attempts: Attempts = NOT_NOTED,
    ) -> None:
        """Open the graphs that run for each sample; errors as ``open_models``."""
        self.stop = stop or Stop()
        self.sentences = sentences
        self.attempts = attempts
        self.bundle = bundle
        self.choice = choice
        self.failed = failed
        self.variant = variant
        self.settings = settings
        self.text_precision = bundle.precisions("text")[0]
        self._stack = ExitStack()
        self._engines: dict[Role, ReplaceableEngine] = {}
        try:
            self._graphs: dict[Role, Running] = {
                role: self._open(role) for role in bundle.manifest.graphs if role != "text"
            }
            self.main = next(iter(self._graphs.values()))
            self.scoring = scoring_of(
                bundle, self._engines, self.open_text_engine, sentences, attempts
            )
        except BaseException:
            self._stack.close()
            raise

    @property
    def precision(self) -> Precision:
        """Precision of the main graph."""
        return self.main.variant.precision

    @property
    def used(self) -> str:
        """Precision and runtime of the main graph in words."""
        return f"{self.precision} on {self.main.engine.runtime}"

    @property
    def proven(self) -> bool:
        """Whether golden frames were embedded as they should be; the null engine has none."""
        return self.main.report is not None

    @property
    def graphs(self) -> Mapping[Role, Running]:
        """The graphs that run for each sample, the main graph first."""
        return self._graphs

    def take_over(self, graphs: Mapping[Role, Running]) -> None:
        """Go on with other engines of the same graphs; those of before are closed.

        Only the thread that runs the engines calls this. What was compiled stays right: the graphs
        are the same, and each of their engines has passed its self-test.

        Args:
            graphs: An open engine for each graph of ``graphs``, which this owns from now on.
        """
        for role, graph in graphs.items():
            self._engines[role].replace(graph.engine)
            self._graphs[role] = Running(self._engines[role], graph.variant, graph.report)
        self.main = next(iter(self._graphs.values()))

    def prove_again(self) -> None:
        """Run the golden self-test of the graphs that are in use; errors as ``open_models``."""
        for role, graph in self._graphs.items():
            prove(self.bundle, role, graph.variant, graph.engine, self.stop)

    @contextmanager
    def open_text_engine(self) -> Iterator[Engine]:
        """Open the text graph, for as long as prompts are compiled.

        It is the larger one (about 90 MB here) and is needed only when prompts change.

        Raises:
            ModelError: The graph is not what the manifest says, or fails its self-test.
            EngineUnavailable: The device is gone.
            Ended: The daemon is asked to end; the engine raises it too.
        """
        self.stop.check()
        variant = Variant(self.variant.kind, "onnx", self.text_precision)
        with (
            self._trying("text", variant) as well,
            open_text_engine(self.bundle, variant.kind, self.settings, self.stop) as engine,
        ):
            well()
            yield engine

    @contextmanager
    def open_regions(self) -> Iterator[Engine | None]:
        """Open the graph that finds regions of a picture; None where the bundle has none.

        Errors as in ``open_text_engine``.
        """
        found = self.bundle.precisions("regions")
        if not found:
            yield None
            return
        variant = Variant(self.variant.kind, "onnx", found[0])
        with (
            self._trying("regions", variant) as well,
            open_proven(self.bundle, "regions", variant, self.settings, self.stop) as engine,
        ):
            well()
            yield engine

    def close(self) -> None:
        """Free the engines. Closing twice is allowed."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self, role: Role) -> Running:
        self.stop.check()
        wanted = self.variant
        found = self.bundle.precisions(role, wanted.format)
        precision = wanted.precision if wanted.precision in found else found[-1]
        variant = Variant(wanted.kind, wanted.format, precision)
        with self._trying(role, variant):
            engine = ReplaceableEngine(open_graph(self.bundle, role, variant, self.settings))
            self._engines[role] = engine
            self._stack.callback(engine.close)
            return Running(engine, variant, prove(self.bundle, role, variant, engine, self.stop))

    def _trying(self, role: Role, variant: Variant) -> AbstractContextManager[Callable[[], None]]:
        return trying_variant(self.attempts, self.bundle, role, variant, self.settings)


def open_models(
    bundle: Bundle,
    config: EngineConfig,
    cache: Path | None = None,
    *,
    tune: bool = False,
    keep: bool = True,
    stop: Stop | None = None,
    sentences: CacheFile | None = None,
    attempts: Attempts = NOT_NOTED,
) -> Models:
    """Open the graphs that run for each sample; each must pass its self-test.

    Args:
        bundle: The model.
        config: Runtime, device and precision; where it leaves a choice, the fastest variant that
            passes is taken.
        cache: Folder for the measurements; None for the user's own.
        tune: Measure again, even if there are measurements.
        keep: Keep the measurements.
        stop: Asks the daemon to end; None outside of it.
        sentences: Keeps what the text graph makes of sentences; None keeps nothing.
        attempts: Notes what may end the process while it is tried.

    Raises:
        Ended: The daemon is asked to end.
        EngineUnavailable: The engine or its device is not there.
        ModelError: The bundle lacks the precision, or a graph is not what the manifest says or
            fails its self-test, and there is no other choice.
        InferenceError: The engine failed on the golden set.
    """
    settings = EngineSettings(config.device, config.threads)
    if config.kind == "null":
        _log.warning("engine null: embeddings mean nothing")
    folder = cache or paths.choices()
    choose_one = partial(choose, bundle, config, folder, keep=keep, stop=stop, attempts=attempts)
    choice = choose_one(again=tune)
    failed: str | None = None
    try:
        models = Models(bundle, choice.variant, settings, choice, None, stop, sentences, attempts)
    except (EngineError, ModelError) as exc:
        if not choice.remembered:
            raise
        # It passed when it was measured: a new driver, or hardware that goes bad.
        failed = f"{choice.variant} was chosen before and fails now: {exc}"
        _log.error("%s; measuring again", failed)
        choice = choose_one(again=True)
        models = Models(bundle, choice.variant, settings, choice, failed, stop, sentences, attempts)
    engine = models.main.engine
    _log.info("model %s on %s, %s", models.main.variant, engine.runtime, engine.device)
    return models
