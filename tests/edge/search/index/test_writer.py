"""The writer's thread: what it keeps, and that nobody waits for it."""

import errno
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from patience import Eventually

from edge.search.index.format import Entry
from edge.search.index.store import Limits, Reader, Store
from edge.search.index.writer import IndexWriter, WriterLimits

DIM = 16


@pytest.fixture
def run() -> Iterator[Callable[..., IndexWriter]]:
    """``run(open_store)``: a writer that flushes at once, ended with the test."""
    writers: list[IndexWriter] = []

    def start(
        open_store: Callable[[], Store], clock: Callable[[], float] = time.time, **bounds: Any
    ) -> IndexWriter:
        limits = WriterLimits(flush_s=0.01, retry_s=0.05, **bounds)
        writers.append(IndexWriter(open_store, clock, limits=limits))
        writers[-1].start()
        return writers[-1]

    yield start
    for writer in writers:
        writer.stop(5)


def count(root: Path) -> int:
    return sum(one.segment.extent.count for one in Reader(root / "m", DIM).segments(None, 0, 1e12))


PLENTY = Limits(1e12, 10**9)


def opener(root: Path, limits: Limits = PLENTY) -> Callable[[], Store]:
    return lambda: Store(root, "m", DIM, limits)


def test_what_is_added_is_on_disk_soon_and_at_the_end(
    tmp_path: Path,
    entries: Callable[..., list[Entry]],
    run: Callable[..., IndexWriter],
    eventually: Eventually,
) -> None:
    writer = run(opener(tmp_path))
    first, last, *_ = entries(2)
    writer.add("yard", first)
    eventually(lambda: count(tmp_path) == 1, "the first embedding is on disk")
    writer.add("yard", last)
    writer.add_picture("yard", last.at, b"jpeg")
    writer.stop(5)
    assert count(tmp_path) == 2
    assert [path.read_bytes() for path in tmp_path.rglob("*.jpg")] == [b"jpeg"]
    health = writer.health()
    assert (health.kept, health.dropped, health.error) == (2, 0, None)
    assert health.size == sum(f.stat().st_size for f in tmp_path.rglob("*") if f.is_file())


def test_limits_are_kept_while_it_runs(
    tmp_path: Path,
    entries: Callable[..., list[Entry]],
    run: Callable[..., IndexWriter],
    eventually: Eventually,
) -> None:
    store = Store(tmp_path, "m", DIM, PLENTY)
    store.append("gone", entries(1))
    store.close()
    writer = run(opener(tmp_path, Limits(max_age_s=60, max_bytes=10**9)), lambda: time.time() + 99)
    writer.add("yard", entries(1)[0])
    eventually(lambda: writer.health().expired == 1, "an old segment is removed")
    eventually(lambda: writer.health().kept == 1, "the new one stays")
    assert count(tmp_path) == 1


class Full(Store):
    """On a disk that is full until the test makes room."""

    room = threading.Event()

    def append(self, camera: str, entries: Sequence[Entry]) -> None:
        if not self.room.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")
        super().append(camera, entries)


def test_a_full_disk_is_reported_once_and_writing_goes_on_when_there_is_room(
    tmp_path: Path,
    entries: Callable[..., list[Entry]],
    run: Callable[..., IndexWriter],
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    Full.room.clear()
    writer = run(lambda: Full(tmp_path, "m", DIM, PLENTY))
    writer.add("yard", entries(1)[0])
    eventually(lambda: writer.health().error, "the failure is reported")
    writer.add("yard", entries(1)[0])
    eventually(lambda: writer.health().dropped == 2, "the second failure is counted")
    assert "No space left" in (writer.health().error or "")
    assert [record.message for record in caplog.records].count(caplog.records[0].message) == 1
    Full.room.set()
    writer.add("yard", entries(1)[0])
    eventually(lambda: count(tmp_path) == 1, "writing goes on")
    eventually(lambda: writer.health().error is None, "and the error is over")


def test_a_defect_costs_what_waits_and_writing_goes_on(
    tmp_path: Path,
    entries: Callable[..., list[Entry]],
    run: Callable[..., IndexWriter],
    eventually: Eventually,
) -> None:
    stores = iter([None])

    def open_store() -> Store:
        next(stores, opener(tmp_path)()).close()  # type: ignore[union-attr]  # the first is None
        return opener(tmp_path)()

    writer = run(open_store)
    writer.add("yard", entries(1)[0])
    eventually(lambda: writer.health().dropped == 1, "the embedding is dropped")
    assert "NoneType" in (writer.health().error or "")
    writer.add("yard", entries(1)[0])
    eventually(lambda: count(tmp_path) == 1, "writing goes on")
    eventually(lambda: writer.health().error is None, "and the error is over")


def test_an_index_that_cannot_be_opened_stops_nothing(
    tmp_path: Path,
    entries: Callable[..., list[Entry]],
    run: Callable[..., IndexWriter],
    eventually: Eventually,
) -> None:
    (tmp_path / "file").write_text("no folder")
    writer = run(opener(tmp_path / "file"))
    writer.add("yard", entries(1)[0])
    eventually(lambda: writer.health().dropped == 1, "the embedding is dropped")
    assert "index: " in (writer.health().error or "")


def test_a_disk_that_hangs_makes_nobody_wait_and_costs_bounded_memory(
    tmp_path: Path, entries: Callable[..., list[Entry]], run: Callable[..., IndexWriter]
) -> None:
    hung, release = threading.Event(), threading.Event()

    def open_store() -> Store:
        hung.set()
        release.wait(10)
        return Store(tmp_path, "m", DIM, PLENTY)

    writer = run(open_store, most_embeddings=10, most_pictures=2)
    assert hung.wait(5)
    for entry in entries(30):
        writer.add("yard", entry)
    for at in range(5):
        writer.add_picture("yard", at, b"jpeg")
    assert writer.health().dropped == 20 + 3
    release.set()
    writer.stop(5)
    assert count(tmp_path) == 10
