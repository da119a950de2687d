"""The index as a whole: limits, restarts, models that do not mix."""

import errno
import os
import time
from collections.abc import Callable
from io import FileIO
from pathlib import Path

import numpy as np
import pytest

from edge.search.index import format as layout
from edge.search.index import segment
from edge.search.index import store as store_module
from edge.search.index.codes import encode
from edge.search.index.format import Entry, Extent, rows_end, vectors
from edge.search.index.segment import remove_segment
from edge.search.index.store import Limits, Reader, Store

NOW = 1_750_000_000.0
DIM = 16


def times_of(
    root: Path, camera: str | None = None, model: str = "m", since: float = 0.0, until: float = 1e12
) -> list[np.float64]:
    found = Reader(root / model, DIM).segments(camera, since, until)
    return [at for one in found for at in one.segment.rows(slice(None))["at"]]


def test_all_that_was_kept_is_found_in_order_across_segments_and_restarts(
    tmp_path: Path, entries: Callable[..., list[Entry]], make_store: Callable[..., Store]
) -> None:
    kept = entries(200)
    for start in range(0, 200, 20):
        store = make_store(tmp_path)
        store.append("yard", kept[start : start + 20])
        store.close()
    assert times_of(tmp_path) == [entry.at for entry in kept]
    assert len(list(tmp_path.glob("m/yard/*"))) == 3
    codes = [found.segment.codes() is not None for found in Reader(tmp_path / "m", DIM).segments(None, 0, 1e12)]  # fmt: skip
    assert codes == [True, True, False]


def test_cameras_and_times_choose_segments(
    tmp_path: Path, entries: Callable[..., list[Entry]], make_store: Callable[..., Store]
) -> None:
    store = make_store(tmp_path)
    for camera, start in (("yard", NOW), ("door", NOW + 500)):
        for at in range(0, 200, 20):
            store.append(camera, entries(20, start=start + at))
    assert len(times_of(tmp_path)) == 400
    assert min(times_of(tmp_path, "door")) == NOW + 500
    assert max(times_of(tmp_path, since=0, until=NOW + 60)) < NOW + 100
    assert times_of(tmp_path, since=NOW + 5000) == []
    assert times_of(tmp_path, camera="nobody") == []


def test_embeddings_of_another_model_are_not_found_but_age_with_the_rest(
    tmp_path: Path, entries: Callable[..., list[Entry]], make_store: Callable[..., Store]
) -> None:
    old = make_store(tmp_path, model="old")
    old.append("yard", entries(30))
    old.close()
    new = make_store(tmp_path, Limits(1e9, 1), model="new")
    new.append("yard", entries(30))
    assert len(times_of(tmp_path, model="new")) == 30
    assert len(times_of(tmp_path, model="old")) == 30
    new.expire(NOW)
    assert times_of(tmp_path, model="old") == []
    assert new.expired == 2


def test_the_oldest_segments_go_first_when_there_is_too_much(
    tmp_path: Path, entries: Callable[..., list[Entry]], make_store: Callable[..., Store]
) -> None:
    kept = entries(400)
    store = make_store(tmp_path)
    for start in range(0, 400, 20):
        store.append("yard", kept[start : start + 20])
    full = store.size
    store._limits = Limits(1e9, full // 2)
    store.expire(NOW)
    assert full // 4 < store.size <= full // 2
    left = times_of(tmp_path)
    assert left == [entry.at for entry in kept][-len(left) :]
    assert store.expired > 0
    assert store.size == sum(f.stat().st_size for f in tmp_path.rglob("*") if f.is_file())


def test_what_is_too_old_goes_and_the_camera_goes_on(
    tmp_path: Path, entries: Callable[..., list[Entry]], make_store: Callable[..., Store]
) -> None:
    passed = 0.0
    store = make_store(tmp_path, Limits(max_age_s=3600, max_bytes=10**9), monotonic=lambda: passed)
    store.append("yard", entries(20))
    passed = 3000
    store.expire(None)  # what it wrote itself ages without a clock
    assert len(times_of(tmp_path)) == 20
    passed = 4000
    store.expire(None)
    assert times_of(tmp_path) == []
    store.append("yard", entries(20, start=NOW + 4000))
    assert len(times_of(tmp_path)) == 20


def test_pictures_count_and_go_with_their_segment(
    tmp_path: Path, entries: Callable[..., list[Entry]], make_store: Callable[..., Store]
) -> None:
    store = make_store(tmp_path, Limits(1e9, 100_000))
    store.append("yard", entries(1))
    before = store.size
    store.keep_picture("yard", NOW, b"x" * 200_000)
    assert store.size == before + 200_000
    store.expire(NOW)
    assert list(tmp_path.rglob("*.jpg")) == []


def test_what_an_interrupted_removal_left_goes_at_the_next_start(
    tmp_path: Path, entries: Callable[..., list[Entry]], make_store: Callable[..., Store]
) -> None:
    store = make_store(tmp_path)
    store.append("yard", entries(3))
    store.keep_picture("yard", NOW, b"jpeg")
    store.close()
    (tmp_path / "m" / "yard" / "00000000" / "rows").unlink()
    make_store(tmp_path)
    assert list(tmp_path.rglob("*.jpg")) == []


def test_a_crash_between_the_last_row_and_the_codes_costs_neither(
    tmp_path: Path, entries: Callable[..., list[Entry]], make_store: Callable[..., Store]
) -> None:
    store = make_store(tmp_path)
    store.append("yard", entries(64))
    store.close()  # full, and no codes yet
    store = make_store(tmp_path)
    store.append("yard", entries(10, start=NOW + 64))
    assert len(times_of(tmp_path)) == 74
    assert (tmp_path / "m" / "yard" / "00000000" / "codes").exists()


def test_a_reader_sees_what_is_new_and_gone_and_written_under_an_old_number(
    tmp_path: Path, entries: Callable[..., list[Entry]], make_store: Callable[..., Store]
) -> None:
    store, reader = make_store(tmp_path), Reader(tmp_path / "m", DIM)
    for start in range(0, 74, 2):
        store.append("yard", entries(2, start=NOW + start))

    def counts() -> list[int]:
        return [found.segment.extent.count for found in reader.segments(None, 0, 1e12)]

    assert counts() == [64, 10]
    store.append("yard", entries(10, start=NOW + 74))
    assert counts() == [64, 20]
    store.close()
    for number in ("00000000", "00000001"):
        remove_segment(tmp_path / "m" / "yard" / number)
    make_store(tmp_path).append("yard", entries(64, start=NOW + 500))
    assert min(times_of(tmp_path)) == NOW + 500


@pytest.mark.parametrize("name", ["m", "other"])
def test_an_index_that_is_not_there_is_empty(tmp_path: Path, name: str) -> None:
    assert times_of(tmp_path, model=name) == []


def test_a_segment_that_lost_rows_is_filled_again_with_codes_of_its_own(
    tmp_path: Path, entries: Callable[..., list[Entry]], make_store: Callable[..., Store]
) -> None:
    store = make_store(tmp_path)
    store.append("yard", entries(64))
    store.append("yard", entries(1, start=NOW + 64))
    store.close()
    folder = tmp_path / "m" / "yard" / "00000000"
    stale = (folder / "codes").read_bytes()
    remove_segment(folder.with_name("00000001"))
    os.truncate(folder / "rows", rows_end(DIM, 30))
    store = make_store(tmp_path)
    store.append("yard", entries(34, start=NOW + 500, seed=1))
    store.append("yard", entries(1, start=NOW + 600))
    assert (folder / "codes").read_bytes() != stale
    (first, _) = Reader(tmp_path / "m", DIM).segments(None, 0, 1e12)
    codes = first.segment.codes()
    assert codes is not None
    assert np.array_equal(codes.words, encode(vectors(first.segment.rows(slice(None)))).words)


@pytest.mark.parametrize("damage", ["header", "disk"])
def test_a_last_segment_that_cannot_be_filled_further_is_followed_by_a_new_one(
    tmp_path: Path,
    entries: Callable[..., list[Entry]],
    make_store: Callable[..., Store],
    monkeypatch: pytest.MonkeyPatch,
    damage: str,
) -> None:
    store = make_store(tmp_path)
    store.append("yard", entries(20))
    store.close()
    rows = tmp_path / "m" / "yard" / "00000000" / "rows"
    if damage == "header":
        rows.write_bytes(b"another program's" + rows.read_bytes()[17:])
    else:
        real = layout.sound_extent

        def unreadable(file: FileIO, dim: int) -> Extent:
            if Path(str(file.name)) == rows:
                raise OSError(errno.EIO, os.strerror(errno.EIO), rows)
            return real(file, dim)

        monkeypatch.setattr(segment, "sound_extent", unreadable)
    store = make_store(tmp_path)
    store.append("yard", entries(20, start=NOW + 100))
    assert min(times_of(tmp_path)) == NOW + 100
    assert len(times_of(tmp_path)) == 20


def test_foreign_files_in_its_folder_neither_stop_the_index_nor_go(
    tmp_path: Path, entries: Callable[..., list[Entry]], make_store: Callable[..., Store]
) -> None:
    foreign = [tmp_path / "m" / "yard" / "notes", tmp_path / "m" / "yard" / "00000007"]
    foreign += [tmp_path / "a", tmp_path / "m" / "b", tmp_path / "lost+found" / "x" / "y" / "z"]
    for path in foreign:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    store = make_store(tmp_path)
    store.append("door", entries(20))
    store.expire(time.time() + 1e12)
    assert len(times_of(tmp_path)) == 20
    assert all(path.read_text() == "mine" for path in foreign)


def test_a_segment_that_cannot_be_removed_does_not_keep_the_others(
    tmp_path: Path,
    entries: Callable[..., list[Entry]],
    make_store: Callable[..., Store],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = make_store(tmp_path, Limits(1e9, 1))
    for camera in ("a", "b", "c"):
        store.append(camera, entries(5))

    def remove(folder: Path) -> None:
        if folder.parent.name == "a":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(folder))
        remove_segment(folder)

    monkeypatch.setattr(store_module, "remove_segment", remove)
    with pytest.raises(OSError, match="Read-only"):
        store.expire(None)
    assert {path.parent.name for path in tmp_path.glob("m/*/0*")} == {"a"}
