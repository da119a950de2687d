"""Puts together what the frame class of a bundle needs: its scorer, its compiler and its crops.

Everything that differs between the classes F, C and P (docs/bundle-format.md) is chosen here, once,
when a bundle is opened. What a class does not have is None.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache

from edge.config.prompt import PromptConfig
from edge.model.bundle.manifest import Role
from edge.model.bundle.read import Bundle
from edge.model.engines import Engine
from edge.rules.bank import PromptBank
from edge.rules.compiler import Compiler, compiler_of, phrase_bank
from edge.rules.kept_encoder import KeptEncoder
from edge.rules.text import TextEncoder, Tokenizer
from edge.scoring.captions import CaptionEncoder
from edge.scoring.scorers.base import Scorer
from edge.scoring.scorers.detect import DetectScorer
from edge.scoring.scorers.frames import FrameScorer
from edge.scoring.scorers.window import WindowScorer
from edge.system.attempts import NOT_NOTED, Attempts
from edge.system.cache_file import CacheFile

OpenText = Callable[[], AbstractContextManager[Engine]]
"""Opens the text graph for as long as it is needed."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """What a frame class does with samples and sentences.

    Attributes:
        scorer: Samples to cosines.
        open_compiler: Opens what turns sentences into a bank for ``scorer``, for as long as prompts
            are compiled. Raises ModelError where the text graph is not usable, EngineUnavailable
            where the device is gone.
        crops: Scores parts of a picture as pictures of their own (class F); None where the model
            gives a single picture no embedding.
        windows: Keeps each camera's clip and scores it when asked (class C); None where a sample is
            scored by itself.
    """

    scorer: Scorer
    open_compiler: Callable[[], AbstractContextManager[Compiler]]
    crops: FrameScorer | None = None
    windows: WindowScorer | None = None


def scoring_of(
    bundle: Bundle,
    engines: Mapping[Role, Engine],
    open_text: OpenText,
    sentences: CacheFile | None = None,
    attempts: Attempts = NOT_NOTED,
) -> Scoring:
    """Put together what the frame class of ``bundle`` needs.

    Args:
        bundle: The model.
        engines: Open engines of the graphs that run for each sample.
        open_text: Opens the bundle's text graph.
        sentences: Keeps what the text graph makes of sentences; None keeps nothing.
        attempts: Notes each sentence while it is embedded.

    Raises:
        ModelError: The graphs do not fit each other or the manifest.
    """
    manifest = bundle.manifest
    # Those of now: what runs the text graph stays, whatever replaces the engines of samples.
    facts = _facts(bundle, next(iter(engines.values())))

    @contextmanager
    def open_compiler() -> Iterator[Compiler]:
        tokenizer = Tokenizer(bundle.tokenizer(), manifest.text)
        with ExitStack() as stack:

            @cache
            def open_encoder() -> TextEncoder:
                return TextEncoder(stack.enter_context(open_text()), tokenizer, manifest.text)

            if sentences is None:
                yield compiler_of(bundle, open_encoder())
                return
            kept = stack.enter_context(sentences.opened())
            encoder = KeptEncoder(kept, tokenizer, facts, open_encoder, attempts=attempts)
            yield compiler_of(bundle, encoder)

    match manifest.frame_class:
        case "F":
            frames = FrameScorer(engines["image"])
            return Scoring(frames, open_compiler, crops=frames)
        case "C":
            windows = WindowScorer(engines["video"], engines["head"], manifest.frames)
            return Scoring(windows, open_compiler, windows=windows)
        case "P":
            tokenizer = Tokenizer(bundle.tokenizer(), manifest.text)
            detector = engines["detector"]
            encode = caption_encoder(bundle, detector, open_text, sentences, attempts)
            detect = DetectScorer(detector, encode, tokenizer, manifest.text)
            return Scoring(detect, lambda: _phrase_compiler(bundle, detect))


def caption_encoder(
    bundle: Bundle,
    engine: Engine,
    open_text: OpenText,
    sentences: CacheFile | None,
    attempts: Attempts,
) -> CaptionEncoder:
    """Make what encodes captions for a bundle of class P; ``engine`` runs its detector."""
    return CaptionEncoder(open_text, _facts(bundle, engine), sentences, attempts)


def _facts(bundle: Bundle, engine: Engine) -> tuple[str, ...]:
    """What decides an answer of the text graph, which runs where ``engine`` does."""
    return bundle.hash, engine.runtime, engine.device


@contextmanager
def _phrase_compiler(bundle: Bundle, scorer: DetectScorer) -> Iterator[Compiler]:
    """The compiler of class P, whose sentences mean nothing without a picture."""
    spec = bundle.manifest.text

    def compile_prompts(
        prompts: Mapping[str, PromptConfig], background: Sequence[str] | None = None
    ) -> PromptBank:
        shared = spec.background if background is None else background
        bank = phrase_bank(prompts, shared, model_hash=bundle.hash)
        scorer.prepare(bank.sentences)  # now, while a mistake can still be reported
        return bank

    yield compile_prompts
