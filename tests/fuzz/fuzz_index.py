"""Targets: the index of a box, and what is asked of it."""

from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import numpy as np
from fuzz_draw import Draw, damaged
from fuzz_target import Target, file_with, folder

from edge.rules.bank import CompiledPrompt, PromptBank
from edge.search.index.format import Entry, read_codes
from edge.search.index.segment import open_segment
from edge.search.index.store import Limits, Reader, Store
from edge.search.query import Query, search
from edge.search.request import Answerer

_DIM: Final = 8
_NOW: Final = 1_750_000_000.0
_PROMPT: Final = CompiledPrompt("search", "search", slice(0, 1), slice(1, 1), np.array([1]), None)
_BANK: Final = PromptBank((_PROMPT,), ("it", "not"), np.eye(2, _DIM, dtype=np.float32), (), "")
_SEARCH: Final = {
    "schema": "edge-search/1", "text": "it", "since": "24h", "camera": "yard", "limit": 3,
    "cursor": "3@1750000000.000", "pictures": True,
}  # fmt: skip


def _codes(data: bytes) -> None:
    with file_with(data, "codes") as path:
        read_codes(path, _DIM)


def _rows(data: bytes) -> None:
    with file_with(data, "rows") as path:
        segment = open_segment(path.parent, _DIM)
        if segment is not None:
            assert len(segment.rows(slice(None))) == segment.extent.count


def _index(data: bytes) -> None:
    """Files of an index of two segments, damaged; then a search, and the index goes on."""
    draw = Draw(data)
    with folder() as root:
        for name, whole in _index_files().items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            match draw.number(5):
                case 0:
                    continue  # the file is gone
                case 1:
                    path.write_bytes(damaged(whole, draw, 1 + draw.number(4)))
                case _:
                    path.write_bytes(whole)
        reader = Reader(root / "m", _DIM)
        search(reader, _BANK, Query(0.0, 1e12, limit=2))
        with closing(_store(root)) as store:
            store.append("yard", _entries(5, _NOW + 1000))
            store.expire(_NOW + 2000)
            page = search(reader, _BANK, Query(_NOW + 900, 1e12))
            assert page.samples >= 5


def _search(data: bytes) -> None:
    request = Draw(data).json(_SEARCH)
    answer = Answerer(Reader(_whole_index() / "m", _DIM), lambda _text: _BANK, lambda: _NOW + 99)
    answer.answer(request)


def _entries(count: int, start: float) -> list[Entry]:
    rng = np.random.default_rng(count)
    vectors = rng.normal(size=(count, _DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [Entry(start + number, number, vector) for number, vector in enumerate(vectors)]


def _store(root: Path) -> Store:
    return Store(root, "m", _DIM, Limits(1e9, 10**9), segment_rows=32)


@cache
def _index_files() -> dict[str, bytes]:
    with folder() as root:
        with closing(_store(root)) as store:
            store.append("yard", _entries(32, _NOW))
            store.keep_picture("yard", _NOW + 3, b"jpeg")
            store.append("yard", _entries(20, _NOW + 40))
            store.append("door", _entries(9, _NOW))
        paths = sorted(path for path in root.rglob("*") if path.is_file())
        return {str(path.relative_to(root)): path.read_bytes() for path in paths}


@cache
def _whole_index() -> Path:
    root = Path(mkdtemp(prefix="fuzz"))
    for name, whole in _index_files().items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(whole)
    return root


_INDEX: Final = (
    "edge.search.index.format", "edge.search.index.segment", "edge.search.index.store",
    "edge.search.index.scan", "edge.search.query",
)  # fmt: skip
TARGETS: Final = {
    "codes": Target(_codes, (), ("edge.search.index.format",)),
    "rows": Target(_rows, (), ("edge.search.index.format", "edge.search.index.segment")),
    "index": Target(_index, (), _INDEX),
    "search": Target(
        _search, (), ("edge.search.request", "edge.search.query"),
        ('"schema"', '"edge-search/1"', '"text"', '"since"', '"24h"', '"cursor"', '"pictures"'),
    ),
}  # fmt: skip
