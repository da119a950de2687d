"""Reads and writes a segment: the embeddings of one camera over some hours, in one folder.

::

    rows        the embeddings; append-only
    codes       written when the segment is full (edge.search.index.codes); can be made again
    *.jpg       pictures, named by the millisecond of their sample

What a crash leaves behind the last sound row is cut off when the segment is opened for writing, and
passed over by readers: of what lies before it nothing was being written. Readers need no lock and
may be other processes: rows are only added, and only whole segments go.
"""

import os
import shutil
from collections.abc import Sequence
from errno import ENOSPC
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.search.index.codes import Codes, encode
from edge.search.index.format import (
    Entry,
    Extent,
    are_rows,
    begin_rows,
    map_rows,
    read_codes,
    recorded_size,
    rows_end,
    sound_extent,
    to_rows,
    vectors,
    write_codes,
    write_whole,
)

ROWS: Final = 16384
"""Rows of a full segment: four and a half hours at one embedding a second. The words of its codes
are 1 MB, which fits into a CPU's second-level cache."""

_ROWS: Final = "rows"
_CODES: Final = "codes"


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
        if segment is not None and segment.codes is None:
            codes = encode(vectors(segment.rows(slice(None))))
            write_codes(self.folder / _CODES, segment.extent, self.size, codes)
            self.size += (self.folder / _CODES).stat().st_size

    def close(self) -> None:
        self._file.close()

    def _write(self, rows: bytes) -> None:
        if self._file.write(rows) < len(rows):  # a disk that fills up takes only a part
            raise OSError(ENOSPC, os.strerror(ENOSPC), str(self.folder / _ROWS))
        os.fdatasync(self._file.fileno())


class Segment:
    """Segment as readers see it, with the rows that it had when it was opened.

    Attributes:
        folder: Folder of the segment.
        extent: Number and time range of its rows; at least one row.
        codes: Codes of its rows; None while it is still being filled: all rows must be read then.
    """

    def __init__(self, folder: Path, dim: int, extent: Extent, codes: Codes | None) -> None:
        """Open without mapping; the rows are mapped on first use."""
        self.folder = folder
        self.extent = extent
        self.codes = codes
        self._dim = dim
        self._mapped: NDArray[np.void] | None = None

    def rows(self, which: slice | NDArray[np.intp]) -> NDArray[np.void]:
        """Return some rows, of type ``edge.search.index.format.row_type``.

        Raises:
            FileNotFoundError: The segment is gone.
        """
        if self._mapped is None:
            self._mapped = map_rows(self.folder / _ROWS, self._dim, self.extent.count)
        return self._mapped[which]

    def picture(self, start: float, end: float, near: float) -> Path | None:
        """Return the picture between ``start`` and ``end`` that is nearest to ``near``, or None."""
        taken = ((int(path.stem) / 1000, path) for path in self.folder.glob("*.jpg"))
        within = [(abs(at - near), path) for at, path in taken if start <= at <= end]
        return min(within)[1] if within else None


def open_segment(folder: Path, dim: int) -> Segment | None:
    """Open a segment for reading; None if it has no rows of ``dim`` dimensions."""
    coded = read_codes(folder / _CODES, dim)
    if coded is not None:
        extent, _, codes = coded
        return Segment(folder, dim, extent, codes)
    try:
        with (folder / _ROWS).open("rb", buffering=0) as file:
            extent = sound_extent(file, dim) if are_rows(file, dim) else Extent(0, 0.0, 0.0)
    except FileNotFoundError:
        return None
    return Segment(folder, dim, extent, None) if extent.count else None


def measure(folder: Path) -> tuple[int, float] | None:
    """Return the bytes of a segment's files, and the time of its newest row, UTC seconds.

    None if there are no rows, which is what an interrupted removal leaves.
    """
    try:
        written = (folder / _ROWS).stat().st_mtime
    except FileNotFoundError:
        return None
    recorded = recorded_size(folder / _CODES)  # saves listing many thousand pictures
    return (_files_size(folder) if recorded is None else recorded), written


def remove_segment(folder: Path) -> None:
    """Remove a segment. After an interrupted removal it has no rows any more.

    Raises:
        OSError: A part of the segment is still there.
    """
    (folder / _ROWS).unlink(missing_ok=True)
    shutil.rmtree(folder)


def _files_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
