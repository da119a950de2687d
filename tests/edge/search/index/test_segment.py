"""A segment's files: what is written is read, whatever a crash leaves."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.search.index import format as layout
from edge.search.index.codes import encode
from edge.search.index.format import BATCH, Entry, cosines, rows_end, vectors
from edge.search.index.segment import Segment, SegmentWriter, measure, open_segment, remove_segment

DIM = 16


@pytest.fixture
def written(
    entries: Callable[..., list[Entry]], make_writer: Callable[..., SegmentWriter]
) -> Callable[[Path, int], list[Entry]]:
    return lambda folder, count: _written(folder, entries, count, make_writer)


def _written(
    folder: Path,
    entries: Callable[..., list[Entry]],
    count: int,
    make_writer: Callable[..., SegmentWriter],
) -> list[Entry]:
    writer = make_writer(folder)
    for start in range(0, count, BATCH):
        writer.append(entries(count)[start : start + BATCH])
    writer.close()
    return entries(count)


def opened_segment(folder: Path) -> Segment:
    segment = open_segment(folder, DIM)
    assert segment is not None
    return segment


def assert_holds(folder: Path, entries: list[Entry]) -> None:
    segment = opened_segment(folder)
    assert segment.extent.count == len(entries)
    assert list(segment.rows(slice(None))["at"]) == [entry.at for entry in entries]
    expected = np.stack([entry.vector for entry in entries])
    assert np.allclose(vectors(segment.rows(slice(None))), expected, atol=1 / 127)


def test_what_was_written_is_read(
    tmp_path: Path, written: Callable[[Path, int], list[Entry]]
) -> None:
    assert_holds(tmp_path / "s", written(tmp_path / "s", 40))


def test_cosines_are_those_of_the_vectors(
    tmp_path: Path, written: Callable[[Path, int], list[Entry]]
) -> None:
    kept = written(tmp_path / "s", 40)
    sentences = np.eye(DIM, dtype=np.float32)[:3]
    found = cosines(opened_segment(tmp_path / "s").rows(slice(10, 20)), sentences)
    expected = np.stack([entry.vector for entry in kept[10:20]]) @ sentences.T
    assert np.allclose(found, expected, atol=1 / 127)


def test_a_file_cut_at_any_byte_keeps_what_is_whole_and_goes_on(
    tmp_path: Path,
    written: Callable[[Path, int], list[Entry]],
    make_writer: Callable[..., SegmentWriter],
) -> None:
    kept = written(tmp_path / "s", 6)
    whole = (tmp_path / "s" / "rows").read_bytes()
    for size in range(rows_end(DIM, 3), len(whole) + 1):
        folder = tmp_path / f"cut{size}"
        folder.mkdir()
        (folder / "rows").write_bytes(whole[:size])
        left = (size - rows_end(DIM, 0)) // layout.row_type(DIM).itemsize
        assert_holds(folder, kept[:left])
        again = make_writer(folder)
        again.append(kept[left:] or kept[:1])
        again.close()
        assert_holds(folder, kept[:left] + (kept[left:] or kept[:1]))


@pytest.mark.parametrize("size", range(rows_end(DIM, 0) + 1))
def test_a_file_cut_in_its_header_begins_anew(
    tmp_path: Path,
    size: int,
    written: Callable[[Path, int], list[Entry]],
    make_writer: Callable[..., SegmentWriter],
) -> None:
    kept = written(tmp_path / "s", 2)
    os.truncate(tmp_path / "s" / "rows", size)
    assert open_segment(tmp_path / "s", DIM) is None
    writer = make_writer(tmp_path / "s")
    writer.append(kept)
    writer.close()
    assert_holds(tmp_path / "s", kept)


def test_a_row_of_nothing_ends_the_segment_as_a_lost_page_does(
    tmp_path: Path, written: Callable[[Path, int], list[Entry]]
) -> None:
    kept = written(tmp_path / "s", 10)
    with (tmp_path / "s" / "rows").open("r+b") as file:
        file.seek(rows_end(DIM, 7))
        file.write(bytes(layout.row_type(DIM).itemsize))
    assert_holds(tmp_path / "s", kept[:7])


def test_a_full_disk_leaves_whole_rows_and_says_so(
    tmp_path: Path,
    entries: Callable[..., list[Entry]],
    monkeypatch: pytest.MonkeyPatch,
    make_writer: Callable[..., SegmentWriter],
) -> None:
    kept = entries(20)
    writer = make_writer(tmp_path / "s")
    writer.append(kept[:10])
    real = writer._file.write
    monkeypatch.setattr(writer, "_file", _Filling(writer._file, real))
    with pytest.raises(OSError) as failure:
        writer.append(kept[10:])
    assert failure.value.errno == errno.ENOSPC
    assert_holds(tmp_path / "s", kept[:10])


class _Filling:
    """A file on a disk that has room for half a row."""

    def __init__(self, file: BinaryIO, write: Callable[[bytes], int]) -> None:
        self._file, self._write = file, write

    def write(self, data: bytes) -> int:
        return self._write(data[:18])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def test_rows_of_other_dimensions_are_refused_by_a_writer_and_not_read(
    tmp_path: Path,
    written: Callable[[Path, int], list[Entry]],
    make_writer: Callable[..., SegmentWriter],
) -> None:
    written(tmp_path / "s", 3)
    with pytest.raises(OSError, match="expected rows of 8 dimensions"):
        make_writer(tmp_path / "s", 8)
    assert open_segment(tmp_path / "s", 8) is None


@pytest.mark.parametrize("bad", [np.full(DIM, np.nan, np.float32), np.zeros(3, np.float32)])
def test_a_vector_that_is_none_is_refused_and_nothing_is_written(
    tmp_path: Path,
    entries: Callable[..., list[Entry]],
    bad: NDArray[np.float32],
    make_writer: Callable[..., SegmentWriter],
) -> None:
    writer = make_writer(tmp_path / "s")
    with pytest.raises(ValueError, match="expected"):
        writer.append([*entries(2), layout.Entry(0.0, 0, bad)])
    assert open_segment(tmp_path / "s", DIM) is None


def test_codes_are_of_the_vectors_and_tell_the_extent(
    tmp_path: Path,
    written: Callable[[Path, int], list[Entry]],
    make_writer: Callable[..., SegmentWriter],
) -> None:
    kept = written(tmp_path / "s", 100)
    writer = make_writer(tmp_path / "s")
    writer.seal()
    segment = opened_segment(tmp_path / "s")
    expected = encode(vectors(segment.rows(slice(None))))
    codes = segment.codes()
    assert codes is not None
    assert np.array_equal(codes.words, expected.words)
    assert np.array_equal(codes.centre, expected.centre)
    assert np.array_equal(codes.lengths, expected.lengths)
    assert (segment.extent.first, segment.extent.last) == (kept[0].at, kept[-1].at)
    measured = measure(tmp_path / "s")
    assert measured is not None
    assert measured[0] == sum(f.stat().st_size for f in (tmp_path / "s").iterdir())


def test_codes_that_are_not_whole_are_made_again(
    tmp_path: Path,
    written: Callable[[Path, int], list[Entry]],
    make_writer: Callable[..., SegmentWriter],
) -> None:
    written(tmp_path / "s", 100)
    writer = make_writer(tmp_path / "s")
    writer.seal()
    whole = (tmp_path / "s" / "codes").read_bytes()
    for size in (0, 8, 39, 40, 1000, len(whole) - 1):
        (tmp_path / "s" / "codes").write_bytes(whole[:size])
        assert opened_segment(tmp_path / "s").codes() is None
        writer.seal()
        assert (tmp_path / "s" / "codes").read_bytes()[40:] == whole[40:]


def test_the_nearest_picture_within_a_time_is_found(
    tmp_path: Path, make_writer: Callable[..., SegmentWriter]
) -> None:
    writer = make_writer(tmp_path / "s")
    for at in (100.0, 110.5, 120.0):
        writer.keep_picture(at, b"jpeg at %d" % at)
    writer.append([layout.Entry(100.0, 0, np.ones(DIM, np.float32))])
    segment = opened_segment(tmp_path / "s")
    for end, found in ((130, b"jpeg at 110"), (110, b"jpeg at 100")):
        picture = segment.picture(90, end, 111)
        assert picture is not None
        assert picture.read_bytes() == found
    assert segment.picture(121, 130, 125) is None


def test_a_removed_segment_is_gone_and_half_a_one_is_known(
    tmp_path: Path, written: Callable[[Path, int], list[Entry]]
) -> None:
    written(tmp_path / "s", 3)
    reader = opened_segment(tmp_path / "s")
    (tmp_path / "s" / "rows").unlink()
    assert measure(tmp_path / "s") is None
    assert len(reader.rows(slice(None))) == 0
    assert open_segment(tmp_path / "s", DIM) is None
    remove_segment(tmp_path / "s")
    assert not (tmp_path / "s").exists()
