"""Small indexes of made-up cameras."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Protocol, TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.search.index.format import Entry
from edge.search.index.segment import SegmentWriter
from edge.search.index.store import Limits, Store

NOW = 1_750_000_000.0
DIM = 16


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


@pytest.fixture
def entries() -> Callable[..., list[Entry]]:
    """``entries(n)``: n embeddings of a camera, one a second, of a scene that hardly changes."""

    def make(count: int, dim: int = 16, start: float = NOW, seed: int = 0) -> list[Entry]:
        rng = np.random.default_rng(seed)
        scene = rng.normal(size=dim)
        vectors = unit(scene + 0.2 * rng.normal(size=(count, dim)))
        return [Entry(start + i, i, vector) for i, vector in enumerate(vectors)]

    return make


class Closes(Protocol):
    def close(self) -> None: ...


Thing = TypeVar("Thing", bound=Closes)


class Opened(Protocol):
    """Takes a thing that the end of the test closes, and gives it back."""

    def __call__(self, thing: Thing) -> Thing: ...


@pytest.fixture
def opened() -> Iterator[Opened]:
    with ExitStack() as stack:

        def until_the_end(thing: Thing) -> Thing:
            return stack.enter_context(closing(thing))

        yield until_the_end


@pytest.fixture
def make_writer(opened: Opened) -> Callable[..., SegmentWriter]:
    """Writers of segments of ``DIM`` dimensions, by folder."""
    return lambda folder, dim=DIM: opened(SegmentWriter(folder, dim))


@pytest.fixture
def make_store(opened: Opened) -> Callable[..., Store]:
    """Stores with room for all, by root; their segments are full at 64 rows."""
    plenty = Limits(max_age_s=1e9, max_bytes=10**9)
    return lambda root, limits=plenty, model="m", monotonic=time.monotonic: opened(
        Store(root, model, DIM, limits, segment_rows=64, monotonic=monotonic)
    )
