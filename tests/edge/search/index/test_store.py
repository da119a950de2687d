"""The index as a whole: limits, restarts, models that do not mix."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge.search.index.format import Entry
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
    codes = [found.segment.codes is not None for found in Reader(tmp_path / "m", DIM).segments(None, 0, 1e12)]  # fmt: skip
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
    store = make_store(tmp_path, Limits(max_age_s=3600, max_bytes=10**9))
    store.append("yard", entries(20))
    store.expire(NOW + 3000)
    assert len(times_of(tmp_path)) == 20
    store.expire(NOW + 4000)
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


def test_a_reader_keeps_full_segments_open_and_sees_what_is_new_and_gone(
    tmp_path: Path, entries: Callable[..., list[Entry]], make_store: Callable[..., Store]
) -> None:
    store, reader = make_store(tmp_path), Reader(tmp_path / "m", DIM)
    store.append("yard", entries(64))
    store.append("yard", entries(10, start=NOW + 64))
    first = reader.segments(None, 0, 1e12)
    store.append("yard", entries(10, start=NOW + 74))
    second = reader.segments(None, 0, 1e12)
    assert second[0].segment is first[0].segment
    assert second[1].segment.extent.count == 20
    remove_segment(tmp_path / "m" / "yard" / "00000000")
    assert [found.segment.extent.count for found in reader.segments(None, 0, 1e12)] == [20]


@pytest.mark.parametrize("name", ["m", "other"])
def test_an_index_that_is_not_there_is_empty(tmp_path: Path, name: str) -> None:
    assert times_of(tmp_path, model=name) == []
