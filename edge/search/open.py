"""Opens the local index of the daemon: its recorder, its writer and its answerer."""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from edge.config.models import Config
from edge.config.prompt import PromptConfig
from edge.errors import ConfigError
from edge.model.bundle.read import Bundle
from edge.model.engines import Engine
from edge.rules.bank import PromptBank
from edge.rules.compiler import compiler_of
from edge.rules.text import TextEncoder
from edge.search.index.recorder import IndexRecorder, PictureOf
from edge.search.index.store import INDEX, Limits, Reader, Store
from edge.search.index.writer import IndexWriter
from edge.search.request import Answerer
from edge.system.attempts import NOT_NOTED, Attempts
from edge.system.steady_clock import SteadyClock

# Number of sentences that stay compiled, so that the next page of an answer is fast.
_KEPT: Final = 32
# Time without a jump of the clock after which it may decide what is too old. A clock that is wrong
# when the box starts is set within minutes.
_SETTLE_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class LocalIndex:
    """Local index of the daemon.

    Attributes:
        recorder: Chooses the samples to keep; runs on the loop.
        writer: Worker that writes what the recorder keeps.
        answerer: Answers searches.
    """

    recorder: IndexRecorder
    writer: IndexWriter
    answerer: Answerer


def open_index(
    config: Config,
    bundle: Bundle,
    dim: int,
    open_text: Callable[[], AbstractContextManager[Engine]],
    picture_of: PictureOf,
    cameras: Callable[[], Collection[str]],
    attempts: Attempts = NOT_NOTED,
) -> LocalIndex | None:
    """Open the index; None if the configuration switches it off.

    A disk that cannot be written is no error here: the writer's health reports it, and alerts
    continue.

    Args:
        config: Configuration of the box.
        bundle: Bundle of the model.
        dim: Dimension of its embeddings, D.
        open_text: Opens the text graph.
        picture_of: Makes a small picture, as for ``IndexRecorder``.
        cameras: Gives the cameras in force, which a search may name.
        attempts: Notes the index while it is opened.

    Raises:
        ConfigError: The model has no embedding that can be searched.
    """
    if not config.index.enabled:
        return None
    check_searchable(bundle)
    limits = Limits(config.index.max_age, config.index.max_bytes)
    root = config.state_dir / INDEX

    @lru_cache(_KEPT)
    def compile_text(text: str) -> PromptBank:
        with open_text() as engine:
            compiler = compiler_of(bundle, TextEncoder.of(bundle, engine))
            return compiler({"search": PromptConfig(text=(text,))}, config.background)

    clock = SteadyClock(min(_SETTLE_S, limits.max_age_s))

    def open_store() -> Store:
        with attempts.trying("the index", str(root), f"move {root} away"):
            return Store(root, bundle.hash, dim, limits)

    writer = IndexWriter(open_store, clock)
    answerer = Answerer(Reader(root / bundle.hash, dim), compile_text, cameras=cameras)
    return LocalIndex(IndexRecorder(writer, picture_of), writer, answerer)


def check_searchable(bundle: Bundle) -> None:
    """Check that embeddings of this model can be searched.

    Raises:
        ConfigError: Scores of this model need more than the embeddings.
    """
    found = bundle.manifest.frame_class
    if found != "F":
        raise ConfigError(
            f"index: expected a model that sees each frame by itself, found "
            f"{bundle.manifest.name} of class {found}: set index.enabled: false"
        )
