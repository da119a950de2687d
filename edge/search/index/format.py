"""Reads and writes the bytes of a segment's files, little-endian (docs/search.md).

``rows``: a header, then a row of fixed size for each embedding, each with its CRC-32. ``codes``: a
summary of the segment, then the arrays of ``edge.search.index.codes``.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from errno import EINVAL
from io import FileIO
from pathlib import Path
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from edge.delivery.embedding import quantise
from edge.search.index.codes import WORDS, Codes

BATCH: Final = 1024
"""Maximum rows of one write. After a crash, this many rows at the end may be damaged."""

_HEADER: Final = np.dtype([("magic", "S8"), ("dim", "<u4"), ("reserved", "<u4")])
_HEADER_MAGIC: Final = b"edgerow1"
_SUMMARY: Final = np.dtype(
    [
        ("magic", "S8"), ("dim", "<u4"), ("count", "<u4"),
        ("first", "<f8"), ("last", "<f8"), ("size", "<u8"),
    ]
)  # fmt: skip
_SUMMARY_MAGIC: Final = b"edgecod1"
_AT: Final = 8  # where the time stands in a row
_NO_TIME: Final = np.array(np.nan, "<f8").tobytes()
# Vectors are of unit length: what is longer than this is damaged.
_LONGEST: Final = 1e6


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One embedding to keep.

    Attributes:
        at: Arrival of the frame, UTC seconds.
        sequence: Sequence number of the sample; kept modulo 2^32.
        vector: float32 [D], finite.
    """

    at: float
    sequence: int
    vector: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Extent:
    """Size and time range of a segment.

    Attributes:
        count: Number of rows.
        first: Earliest time in the segment, UTC seconds; ``inf`` if it is empty.
        last: Latest time in the segment, UTC seconds; ``-inf`` if it is empty.
    """

    count: int
    first: float
    last: float


def row_type(dim: int) -> np.dtype[np.void]:
    """Return the type of a row: ``crc`` covers all later fields; a vector is ``levels * scale``."""
    fields = [("crc", "<u4"), ("scale", "<f4"), ("at", "<f8"), ("sequence", "<u4")]
    return np.dtype([*fields, ("levels", "i1", (dim,))])


def to_rows(entries: Sequence[Entry], dim: int) -> bytes:
    """Return the bytes of the rows of ``entries``, one after the other.

    Raises:
        ValueError: A vector is not finite, or does not have D dimensions.
    """
    rows = np.zeros(len(entries), row_type(dim))
    for row, entry in zip(rows, entries, strict=True):
        if entry.vector.shape != (dim,):
            raise ValueError(f"expected vectors [{dim}], found {list(entry.vector.shape)}")
        row["at"], row["sequence"] = entry.at, entry.sequence % 2**32
        row["levels"], row["scale"] = quantise(entry.vector)
        row["crc"] = crc32(row.tobytes()[4:])
    return rows.tobytes()


def vectors(rows: NDArray[np.void]) -> NDArray[np.float32]:
    """Return the vectors of N rows, float32 [N, D]."""
    plain: NDArray[np.float32] = rows["levels"] * rows["scale"][:, np.newaxis]
    return plain


def cosines(rows: NDArray[np.void], sentences: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the cosines of N rows with unit ``sentences`` [K, D], float32 [N, K]."""
    dots: NDArray[np.float32] = rows["levels"].astype(np.float32) @ sentences.T
    dots *= rows["scale"][:, np.newaxis]
    return dots


def rows_end(dim: int, count: int) -> int:
    """Return the size of a file of ``count`` rows, bytes."""
    return _HEADER.itemsize + count * row_type(dim).itemsize


def begin_rows(file: FileIO, dim: int) -> None:
    """Write the header if it is not there yet.

    Raises:
        OSError: The file has other contents (``EINVAL``), or cannot be written.
    """
    header = np.array((_HEADER_MAGIC, dim, 0), _HEADER).tobytes()
    if os.fstat(file.fileno()).st_size < len(header):
        file.truncate(0)
        file.write(header)
    elif not are_rows(file, dim):
        raise OSError(EINVAL, f"expected rows of {dim} dimensions, found others", file.name)


def are_rows(file: FileIO, dim: int) -> bool:
    """Return whether the file has rows of ``dim`` dimensions."""
    header = os.pread(file.fileno(), _HEADER.itemsize, 0)
    return header == np.array((_HEADER_MAGIC, dim, 0), _HEADER).tobytes()


def sound_extent(file: FileIO, dim: int) -> Extent:
    """Return the extent before the first damaged row; check only rows that a crash may damage."""
    kind = row_type(dim)
    count = max(0, os.fstat(file.fileno()).st_size - _HEADER.itemsize) // kind.itemsize
    rows = np.frombuffer(os.pread(file.fileno(), count * kind.itemsize, _HEADER.itemsize), kind)
    sure = max(0, len(rows) - BATCH)
    count = next(
        (number for number in range(sure, len(rows)) if not _is_sound(rows[number])), len(rows)
    )
    times = rows["at"][:count]
    return Extent(count, float(times.min(initial=np.inf)), float(times.max(initial=-np.inf)))


def read_rows(path: Path, dim: int, firsts: Iterable[int], count: int) -> list[NDArray[np.void]]:
    """Read ``count`` rows from each of ``firsts`` on; fewer if the file has not so many.

    Files of the index are read and not mapped, because a page that the disk cannot read, or that
    is cut off meanwhile, would kill a process that has mapped it.

    Raises:
        OSError: The file is gone, or cannot be read.
    """
    kind = row_type(dim)
    with path.open("rb", buffering=0) as file:
        size = count * kind.itemsize
        read = [os.pread(file.fileno(), size, rows_end(dim, first)) for first in firsts]
    return [np.frombuffer(data, kind, len(data) // kind.itemsize) for data in read]


def read_times(path: Path, dim: int, numbers: Iterable[int]) -> NDArray[np.float64]:
    """Read the times of some rows, UTC seconds; NaN where the file has no such row.

    Raises:
        OSError: The file is gone, or cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        found = [os.pread(file.fileno(), 8, rows_end(dim, row) + _AT) for row in numbers]
    whole = (time if len(time) == len(_NO_TIME) else _NO_TIME for time in found)
    return np.frombuffer(b"".join(whole), "<f8")


def checksums(rows: NDArray[np.void]) -> NDArray[np.uint32]:
    """Return what ``crc`` of N rows must be, uint32 [N]."""
    data, size = memoryview(rows.tobytes()), rows.dtype.itemsize
    found = [crc32(data[end - size + 4 : end]) for end in range(size, len(data) + 1, size)]
    return np.array(found, np.uint32)


def are_sound(rows: NDArray[np.void]) -> NDArray[np.bool_]:
    """Return which of N rows are as they were written, bool [N]."""
    sound: NDArray[np.bool_] = rows["crc"] == checksums(rows)
    return sound


def write_codes(path: Path, extent: Extent, size: int, codes: Codes) -> None:
    """Write the codes of a segment whose other files have ``size`` bytes.

    Raises:
        OSError: The codes are not written.
    """
    dim, count = len(codes.centre), extent.count
    summary = (_SUMMARY_MAGIC, dim, count, extent.first, extent.last, size + _codes_end(dim, count))
    # The words come first, because they are aligned there.
    arrays = np.array(summary, _SUMMARY), codes.words, codes.centre, codes.lengths
    write_whole(path, (array.tobytes() for array in arrays), sync=True)


def read_summary(path: Path, dim: int) -> Extent | None:
    """Return the extent of a segment as its codes record it; None if they are not whole.

    Raises:
        OSError: The file is gone, or cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        head, size = file.read(_SUMMARY.itemsize), os.fstat(file.fileno()).st_size
    return _extent_of(head, size, dim)


def read_codes(path: Path, dim: int) -> Codes | None:
    """Read the codes; None if they are not whole, or cannot be codes.

    Raises:
        OSError: The file is gone, or cannot be read.
    """
    data = path.read_bytes()
    extent = _extent_of(data, len(data), dim)
    if extent is None:
        return None
    at, count = _SUMMARY.itemsize, extent.count
    words = np.frombuffer(data, np.uint64, WORDS * count, at)
    centre = np.frombuffer(data, np.float32, dim, at + words.nbytes)
    lengths = np.frombuffer(data, np.float32, count, at + words.nbytes + centre.nbytes)
    # Also false for what is no number.
    possible = (np.abs(centre) <= _LONGEST).all() and (np.abs(lengths) <= _LONGEST).all()
    return Codes(centre, lengths, words.reshape(WORDS, count)) if possible else None


def _extent_of(head: bytes, size: int, dim: int) -> Extent | None:
    """Return the extent that a summary tells, if a file of ``size`` bytes can begin with it."""
    if len(head) < _SUMMARY.itemsize:
        return None
    magic, found, count, first, last, _ = np.frombuffer(head, _SUMMARY, 1)[0].item()
    whole = (magic, found, size) == (_SUMMARY_MAGIC, dim, _codes_end(dim, count))
    return Extent(count, first, last) if whole and count and first <= last else None


def recorded_size(path: Path) -> int | None:
    """Return the bytes of all files of a segment, as its codes record them; None without codes."""
    try:
        with path.open("rb") as file:
            head = file.read(_SUMMARY.itemsize)
    except FileNotFoundError:
        return None
    if len(head) < _SUMMARY.itemsize:
        return None
    return int(np.frombuffer(head, _SUMMARY)[0]["size"])


def write_whole(path: Path, parts: Iterable[bytes], *, sync: bool) -> None:
    """Write a file so that it exists either whole or not at all.

    Raises:
        OSError: The file was not written.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            for data in parts:
                file.write(data)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def _is_sound(row: np.void) -> bool:
    return crc32(row.tobytes()[4:]) == int(row["crc"])


def _codes_end(dim: int, count: int) -> int:
    return _SUMMARY.itemsize + 8 * WORDS * count + 4 * dim + 4 * count
