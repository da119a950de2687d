"""From a bundle to running graphs, each proven on the golden set before it is used.

Which runtime and precision: what the configuration says, else what ``edge.model.choice`` measured.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from edge.config.models import EngineConfig, PromptConfig
from edge.errors import EngineError, ModelError
from edge.model.bundle.manifest import Precision, Role
from edge.model.bundle.read import Bundle
from edge.model.choice import Choice, choose
from edge.model.engines import Engine, EngineSettings
from edge.model.selftest import Report
from edge.model.variants import Variant, open_graph, prove
from edge.rules.prompts import PromptBank, compile_bank, phrase_bank
from edge.rules.text import TextEncoder, Tokenizer
from edge.scoring.scorers.base import Scorer
from edge.scoring.scorers.detect import DetectScorer
from edge.scoring.scorers.frames import FrameScorer
from edge.scoring.scorers.window import WindowScorer
from edge.system import paths

_log = logging.getLogger(__name__)

CHOICES: Final = "choices"
"""Folder in the daemon's ``state_dir`` for what was measured."""


@dataclass(frozen=True, slots=True)
class Running:
    """A graph that proved itself.

    Attributes:
        engine: Tells runtime and device.
        variant: What runs.
        report: How the self-test went; None with the null engine, which has nothing to prove.
    """

    engine: Engine
    variant: Variant
    report: Report | None


class Compiler(Protocol):
    """Sentences into a prompt bank, by an open text graph."""

    def __call__(
        self, prompts: Mapping[str, PromptConfig], background: Sequence[str] | None = None
    ) -> PromptBank:
        """Compile ``prompts`` by name against ``background``, or the bundle's where None.

        Raises:
            ConfigError: A prompt cannot be used.
            ModelError: The text graph gives vectors without a direction.
            InferenceError: The engine failed.
        """
        ...


class Models:
    """The graphs of a bundle on one engine. Close it, or use ``with``.

    Attributes:
        bundle: Where they come from.
        variant: How they run.
        settings: What the engine was asked for.
        choice: What was measured to come to it.
        failed: What should have run and no longer passes its self-test; None where all is well.
        main: The graph that sees the pictures.
        scorer: Samples to cosines.
        text_precision: Of the text graph.
    """

    def __init__(
        self,
        bundle: Bundle,
        variant: Variant,
        settings: EngineSettings,
        choice: Choice,
        failed: str | None = None,
    ) -> None:
        """Open the graphs that run for each sample; errors as ``open_models``."""
        self.bundle = bundle
        self.choice = choice
        self.failed = failed
        self.variant = variant
        self.settings = settings
        self.text_precision = bundle.precisions("text")[0]
        self._stack = ExitStack()
        try:
            self._graphs: dict[Role, Running] = {
                role: self._open(role) for role in bundle.manifest.graphs if role != "text"
            }
            self.main = next(iter(self._graphs.values()))
            self.scorer: Scorer = self._scorer()
        except BaseException:
            self._stack.close()
            raise

    @property
    def precision(self) -> Precision:
        """Of the main graph."""
        return self.main.variant.precision

    @property
    def used(self) -> str:
        """In words: precision and runtime."""
        return f"{self.precision} on {self.main.engine.runtime}"

    def prove_again(self) -> None:
        """Run the golden self-test of the graphs that are in use; errors as ``open_models``."""
        for role, graph in self._graphs.items():
            prove(self.bundle, role, graph.variant, graph.engine)

    @contextmanager
    def open_text_engine(self) -> Iterator[Engine]:
        """Open the text graph, for as long as prompts are compiled.

        It is the larger one (about 90 MB here) and is needed only when prompts change.

        Raises:
            ModelError: The graph is not what the manifest says, or fails its self-test.
            EngineUnavailable: The device is gone.
        """
        with open_text_engine(self.bundle, self.variant.kind, self.settings) as engine:
            yield engine

    @contextmanager
    def open_regions(self) -> Iterator[Engine | None]:
        """Open the graph that says where things are; None where the bundle has none.

        Errors as in ``open_text_engine``.
        """
        role: Role = "regions"
        found = self.bundle.precisions(role)
        if not found:
            yield None
            return
        variant = Variant(self.variant.kind, "onnx", found[0])
        engine = open_graph(self.bundle, role, variant, self.settings)
        try:
            prove(self.bundle, role, variant, engine)
            yield engine
        finally:
            engine.close()

    @contextmanager
    def open_compiler(self) -> Iterator[Compiler]:
        """Open the text graph to compile prompts with; errors as in ``open_text_engine``."""
        if isinstance(self.scorer, DetectScorer):
            yield self._phrase_compiler(self.scorer)
            return
        with open_compiler(self.bundle, self.variant.kind, self.settings) as compiler:
            yield compiler

    def _phrase_compiler(self, scorer: DetectScorer) -> Compiler:
        """Of class P, whose sentences mean nothing without a picture."""
        spec, model_hash = self.bundle.manifest.text, self.bundle.hash

        def compile_prompts(
            prompts: Mapping[str, PromptConfig], background: Sequence[str] | None = None
        ) -> PromptBank:
            shared = spec.background if background is None else background
            bank = phrase_bank(prompts, shared, model_hash=model_hash)
            scorer.prepare(bank.sentences)  # now, while a mistake can still be told
            return bank

        return compile_prompts

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

    def _scorer(self) -> Scorer:
        engine, manifest = self.main.engine, self.bundle.manifest
        match manifest.frame_class:
            case "F":
                return FrameScorer(engine)
            case "C":
                return WindowScorer(engine, self._graphs["head"].engine, manifest.frames)
            case "P":
                tokenizer = Tokenizer(self.bundle.tokenizer(), manifest.text)
                return DetectScorer(engine, self.open_text_engine, tokenizer, manifest.text)

    def _open(self, role: Role) -> Running:
        wanted = self.variant
        found = self.bundle.precisions(role, wanted.format)
        precision = wanted.precision if wanted.precision in found else found[-1]
        variant = Variant(wanted.kind, wanted.format, precision)
        engine = open_graph(self.bundle, role, variant, self.settings)
        self._stack.callback(engine.close)
        return Running(engine, variant, prove(self.bundle, role, variant, engine))


def open_models(
    bundle: Bundle,
    config: EngineConfig,
    cache: Path | None = None,
    *,
    tune: bool = False,
    keep: bool = True,
) -> Models:
    """Open the graphs that run for each sample, after each proved itself on the golden set.

    Args:
        bundle: The model.
        config: Where it leaves a choice, the fastest variant that passes is taken.
        cache: Folder for what was measured; None for the user's own.
        tune: Measure again, whatever is cached.
        keep: Cache what was measured.

    Raises:
        EngineUnavailable: The engine or its device is not there.
        ModelError: The bundle lacks the precision, or a graph is not what the manifest says or
            fails its self-test, and there is no other choice.
        InferenceError: The engine failed on the golden set.
    """
    settings = EngineSettings(config.device, config.threads)
    if config.kind == "null":
        _log.warning("engine null: embeddings mean nothing")
    folder = cache or paths.choices()
    choice = choose(bundle, config, folder, again=tune, keep=keep)
    failed: str | None = None
    try:
        models = Models(bundle, choice.variant, settings, choice)
    except (EngineError, ModelError) as exc:
        if not choice.remembered:
            raise
        # It passed when it was measured: a new driver, or hardware that goes bad.
        failed = f"{choice.variant} was chosen before and fails now: {exc}"
        _log.error("%s; measuring again", failed)
        choice = choose(bundle, config, folder, again=True, keep=keep)
        models = Models(bundle, choice.variant, settings, choice, failed)
    engine = models.main.engine
    _log.info("model %s on %s, %s", models.main.variant, engine.runtime, engine.device)
    return models


@contextmanager
def open_text_engine(bundle: Bundle, kind: str, settings: EngineSettings) -> Iterator[Engine]:
    """Open the text graph alone; errors as ``Models.open_text_engine``.

    Args:
        bundle: The model.
        kind: The engine, a row of ``edge.model.engines.ENGINES``.
        settings: Of the engine.
    """
    # Compiling prompts is rare, so the most exact graph there is.
    role: Role = "text"
    variant = Variant(kind, "onnx", bundle.precisions(role)[0])
    engine = open_graph(bundle, role, variant, settings)
    try:
        prove(bundle, role, variant, engine)
        yield engine
    finally:
        engine.close()


@contextmanager
def open_compiler(bundle: Bundle, kind: str, settings: EngineSettings) -> Iterator[Compiler]:
    """Open only what compiles the prompts of a model whose sentences stand alone.

    Args and errors as ``open_text_engine``.
    """
    spec, axes = bundle.manifest.text, bundle.axes()
    with open_text_engine(bundle, kind, settings) as engine:
        encoder = TextEncoder(engine, Tokenizer(bundle.tokenizer(), spec), spec)

        def compile_prompts(
            prompts: Mapping[str, PromptConfig], background: Sequence[str] | None = None
        ) -> PromptBank:
            return compile_bank(
                prompts,
                spec.background if background is None else background,
                encoder,
                spec,
                model_hash=bundle.hash,
                axes=axes,
            )

        yield compile_prompts
