"""The local index in the daemon: what records, what answers, opened and ended together."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from edge.config.models import Config, PromptConfig
from edge.delivery.payloads import Topics
from edge.errors import ConfigError
from edge.model.bundle.read import Bundle
from edge.rules.bank import PromptBank
from edge.rules.compiler import Compiler
from edge.search.desk import SearchDesk
from edge.search.index.recorder import IndexRecorder, PictureOf
from edge.search.index.store import INDEX, Limits, Reader, Store
from edge.search.index.writer import IndexHealth, IndexWriter
from edge.search.request import Answerer

_STOP_S: Final = 1.0
# Sentences that stay compiled, for the next page of one.
_KEPT: Final = 32


@dataclass(frozen=True, slots=True)
class LocalIndex:
    """The index while the daemon runs.

    Attributes:
        recorder: Takes samples, on the loop.
        desk: Takes requests.
        health: How writing goes.
    """

    recorder: IndexRecorder
    desk: SearchDesk
    health: Callable[[], IndexHealth]


@contextmanager
def open_index(
    config: Config,
    bundle: Bundle,
    dim: int,
    open_compiler: Callable[[], AbstractContextManager[Compiler]],
    picture_of: PictureOf,
) -> Iterator[LocalIndex | None]:
    """Begin to record, where the configuration wants it; None where not. Ends with the block.

    A disk that cannot be written is no error here: ``LocalIndex.health`` tells, and alerts go on.

    Args:
        config: Whether, where, how much.
        bundle: The model.
        dim: D, of its embeddings.
        open_compiler: Opens a text graph.
        picture_of: As of ``IndexRecorder``.

    Raises:
        ConfigError: The model has no embedding that could be searched.
    """
    if not config.index.enabled:
        yield None
        return
    check_searchable(bundle)
    limits = Limits(config.index.max_age, config.index.max_bytes)
    root = config.state_dir / INDEX

    @lru_cache(_KEPT)
    def compile_text(text: str) -> PromptBank:
        with open_compiler() as compiler:
            return compiler({"search": PromptConfig(text=(text,))}, config.background)

    answerer = Answerer(Reader(root / bundle.hash, dim), compile_text)
    desk = SearchDesk(Topics(config.mqtt.topic_prefix, config.device.id), answerer)
    writer = IndexWriter(lambda: Store(root, bundle.hash, dim, limits))
    writer.start()
    try:
        yield LocalIndex(IndexRecorder(writer, picture_of), desk, writer.health)
    finally:
        desk.stop()
        writer.stop(_STOP_S)


def check_searchable(bundle: Bundle) -> None:
    """Whether embeddings of this model can be searched.

    Raises:
        ConfigError: They need more than themselves to be scored.
    """
    found = bundle.manifest.frame_class
    if found != "F":
        raise ConfigError(
            f"index: expected a model that sees each frame by itself, found "
            f"{bundle.manifest.name} of class {found}: set index.enabled: false"
        )
