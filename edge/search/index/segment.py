"""Reads and writes a segment: the embeddings of one camera over some hours, in one folder.

::

    rows        the embeddings; append-only
    codes       written when the segment is full (edge.search.index.codes); can be made again
    *.jpg       pictures, named by the millisecond of their sample

What a crash leaves behind the last sound row is cut off when the segment is opened for writing, and
passed over by readers: of what lies before it nothing was being written. Readers need no lock and
may be other processes: rows are only added, and only whole segments go.
"""

import logging
import math
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from errno import EBADMSG, EIO, EISDIR, ENOSPC
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge.search.index.codes import Codes, encode
from edge.search.index.format import (
    Entry,
    Extent,
    are_rows,
    are_sound,
    begin_rows,
    read_codes,
    read_rows,
    read_summary,
    read_times,
    recorded_size,
    row_type,
    rows_end,
    sound_extent,
    to_rows,
    vectors,
    write_codes,
    write_whole,
)

logger = logging.getLogger(__name__)

ROWS: Final = 16384
"""Rows of a full segment: four and a half hours at one embedding a second. The words of its codes
are 1 MB, which fits into a CPU's second-level cache."""

_ROWS: Final = "rows"
_CODES: Final = "codes"

DAMAGE: Final = (EIO, EBADMSG, EISDIR)
"""Errors of a disk that cannot read what it holds; EBADMSG is some file systems' bad checksum, and
EISDIR a folder with the name of a file."""
# Earlier times are those of a clock that was never set: no index is so old.
_EARLIEST: Final = 1_577_836_800.0  # 2020

_Read = TypeVar("_Read")


class SegmentWriter:
    """Writer of a segment that is still being filled. One at a time for each folder.

    Args:
        folder: Folder of the segment, created if it is missing; bytes that a crash left after the
            last sound row are cut off.
        dim: Dimension of the embeddings, D.
        most_rows: Number of rows of a full segment.

    Attributes:
        folder: Folder of the segment.
        extent: Number and time range of its rows.
        size: Bytes of all its files.

    Raises:
        OSError: The disk cannot be used, or the rows have another D.
    """

    def __init__(self, folder: Path, dim: int, most_rows: int = ROWS) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._dim = dim
        self._most_rows = most_rows
        self._file = (folder / _ROWS).open("a+b", buffering=0)
        try:
            begin_rows(self._file, dim)
            self.extent = sound_extent(self._file, dim)
            self._file.truncate(rows_end(dim, self.extent.count))
            if not self.full:
                (folder / _CODES).unlink(missing_ok=True)  # rows were lost: they will be others
            self.size = _files_size(folder)
        except BaseException:
            self._file.close()
            raise

    @property
    def full(self) -> bool:
        return self.extent.count >= self._most_rows

    def append(self, entries: Sequence[Entry]) -> None:
        """Write 1 to ``BATCH`` entries and sync them to the disk.

        Raises:
            OSError: The write failed; no entry is kept.
            ValueError: A vector cannot be stored; no entry is kept.
        """
        rows = to_rows(entries, self._dim)
        held = self.extent
        try:
            self._write(rows)
        except OSError:
            self._file.truncate(rows_end(self._dim, held.count))
            raise
        times = [entry.at for entry in entries]
        self.size += len(rows)
        self.extent = Extent(
            held.count + len(entries), min(held.first, *times), max(held.last, *times)
        )

    def keep_picture(self, at: float, jpeg: bytes) -> None:
        """Keep the picture of the sample at ``at``.

        Raises:
            OSError: The picture is not kept.
        """
        write_whole(self.folder / f"{1000 * at:.0f}.jpg", [jpeg], sync=False)
        self.size += len(jpeg)

    def seal(self) -> None:
        """Write the codes if they are missing. Nothing may be added afterwards.

        Raises:
            OSError: The codes are not written; call it again.
        """
        segment = open_segment(self.folder, self._dim)
        if segment is None or segment.codes() is not None:
            return
        rows = segment.rows(slice(None))
        if len(rows) == segment.extent.count:
            sound, codes = are_sound(rows), self.folder / _CODES
            known = np.zeros((len(rows), self._dim), np.float32)
            known[sound] = vectors(rows[sound])
            codes.unlink(missing_ok=True)
            size = _files_size(self.folder)
            write_codes(codes, segment.extent, size, encode(known))
            self.size = size + codes.stat().st_size

    def close(self) -> None:
        self._file.close()

    def _write(self, rows: bytes) -> None:
        if self._file.write(rows) < len(rows):  # a disk that fills up takes only a part
            raise OSError(ENOSPC, os.strerror(ENOSPC), str(self.folder / _ROWS))
        os.fdatasync(self._file.fileno())


class Segment:
    """Segment as readers see it, with the rows that it had when it was opened.

    What is gone or damaged is not found, and everything else is: a segment may expire while it is
    read, and a disk may lose a part of it.

    Attributes:
        folder: Folder of the segment.
        extent: Number and time range of its rows; at least one row.
    """

    def __init__(self, folder: Path, dim: int, extent: Extent, *, coded: bool) -> None:
        self.folder = folder
        self.extent = extent
        self._dim = dim
        self._coded = coded

    def codes(self) -> Codes | None:
        """Read the codes of the rows; None without usable ones: all rows must be read then.

        Raises:
            OSError: The file may not be read.
        """
        path = self.folder / _CODES
        return _readable(lambda: read_codes(path, self._dim), path) if self._coded else None

    def rows(self, which: slice) -> NDArray[np.void]:
        """Read rows that follow each other, as ``blocks`` does."""
        first, end, _ = which.indices(self.extent.count)
        return self.blocks([first], end - first)[0]

    def blocks(self, firsts: Sequence[int], size: int) -> list[NDArray[np.void]]:
        """Read blocks of rows, of type ``edge.search.index.format.row_type``.

        Args:
            firsts: Number of the first row of each block.
            size: Number of rows of a block; fewer are returned if some are lost.

        Raises:
            OSError: The file may not be read.
        """
        path = self.folder / _ROWS
        read = _readable(lambda: read_rows(path, self._dim, firsts, size), path)
        return [np.empty(0, row_type(self._dim)) for _ in firsts] if read is None else read

    def times(self, numbers: Sequence[int]) -> NDArray[np.float64]:
        """Read the times of some rows, UTC seconds; NaN where one is lost.

        Raises:
            OSError: The file may not be read.
        """
        path = self.folder / _ROWS
        times = _readable(lambda: read_times(path, self._dim, numbers), path)
        return np.full(len(numbers), np.nan) if times is None else times

    def picture(self, start: float, end: float, near: float) -> Path | None:
        """Return the picture between ``start`` and ``end`` that is nearest to ``near``, or None."""
        found = _readable(lambda: list(self.folder.glob("*.jpg")), self.folder) or ()
        taken = ((int(path.stem) / 1000, path) for path in found if path.stem.isdecimal())
        within = [(abs(at - near), path) for at, path in taken if start <= at <= end]
        return min(within)[1] if within else None


def open_segment(folder: Path, dim: int) -> Segment | None:
    """Open a segment for reading; None if it has no rows of ``dim`` dimensions.

    Raises:
        OSError: Its files may not be read.
    """
    path, summary = folder / _ROWS, folder / _CODES
    size = _readable(lambda: path.stat().st_size, path)
    if size is None:
        return None  # an interrupted removal leaves codes without rows
    extent = _readable(lambda: read_summary(summary, dim), summary)
    if extent is not None and size == rows_end(dim, extent.count):
        return Segment(folder, dim, extent, coded=True)
    extent = _readable(lambda: _extent(path, dim), path)
    return Segment(folder, dim, extent, coded=False) if extent and extent.count else None


def measure(folder: Path) -> tuple[int, float] | None:
    """Return the bytes of a segment's files, and the time of its last write, UTC seconds.

    The time is infinite where the clock was not set. None if there are no rows, which is what an
    interrupted removal leaves.
    """
    try:
        written = (folder / _ROWS).stat().st_mtime
    except FileNotFoundError:
        return None
    recorded = recorded_size(folder / _CODES)  # saves listing many thousand pictures
    size = _files_size(folder) if recorded is None else recorded
    return size, written if written >= _EARLIEST else math.inf


def date(folder: Path, written: float) -> None:
    """Note the true time of a segment's last write, UTC seconds.

    Raises:
        OSError: It is not noted.
    """
    os.utime(folder / _ROWS, (written, written))


def remove_segment(folder: Path) -> None:
    """Remove a segment. After an interrupted removal it has no rows any more.

    Raises:
        OSError: A part of the segment is still there.
    """
    with suppress(IsADirectoryError):
        (folder / _ROWS).unlink(missing_ok=True)
    shutil.rmtree(folder)


def _extent(path: Path, dim: int) -> Extent | None:
    with path.open("rb", buffering=0) as file:
        return sound_extent(file, dim) if are_rows(file, dim) else None


def _readable(read: Callable[[], _Read], path: Path) -> _Read | None:
    """Return what ``read`` reads; None if it is gone, or if the disk cannot read it any more."""
    try:
        return read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        if exc.errno not in DAMAGE:
            raise
        logger.warning("%s: expected a file that can be read, found %s: it is left out", path, exc)
        return None


def _files_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
