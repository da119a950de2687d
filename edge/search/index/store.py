"""Stores the index of one device: a folder for each model, with a folder of segments per camera.

::

    <state_dir>/index/<hash of the bundle>/<camera>/00000042/

Embeddings of two models must never be compared, so they are kept apart; segments of an earlier
model age with the rest. When the index is too large or too old, whole segments are removed, oldest
first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.search.index.format import BATCH, Entry
from edge.search.index.segment import (
    ROWS,
    Segment,
    SegmentWriter,
    measure,
    open_segment,
    remove_segment,
)

INDEX: Final = "index"
"""Folder in the daemon's ``state_dir``."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of the index.

    Attributes:
        max_age_s: Maximum age in seconds; older segments are removed.
        max_bytes: Maximum size of all files together, including segments still being filled.
    """

    max_age_s: float
    max_bytes: int


@dataclass(frozen=True, slots=True)
class _Held:
    """Segment in the catalogue: bytes of its files, and time of its last write, UTC seconds."""

    size: int
    written: float


class Store:
    """Index as its only writer sees it. Only one thread may use it.

    Args:
        root: Folder of the index, created if it is missing.
        model: Hash of the bundle.
        dim: Dimension of the embeddings, D.
        limits: Maximum age and size.
        segment_rows: Number of rows of a full segment.

    Attributes:
        expired: Number of segments removed so far because of age or size.

    Raises:
        OSError: The disk cannot be used; every method that writes may raise it too.
    """

    def __init__(
        self, root: Path, model: str, dim: int, limits: Limits, *, segment_rows: int = ROWS
    ) -> None:
        self.expired = 0
        self._root = root
        self._folder = root / model
        self._dim = dim
        self._limits = limits
        self._segment_rows = segment_rows
        self._filled: dict[str, SegmentWriter] = {}
        self._folder.mkdir(parents=True, exist_ok=True)
        self._held: dict[Path, _Held] = {}
        for folder in root.glob("*/*/*"):
            measured = measure(folder)
            if measured is None:
                remove_segment(folder)
            else:
                self._held[folder] = _Held(*measured)

    @property
    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(held.size for held in self._held.values())

    def append(self, camera: str, entries: Sequence[Entry]) -> None:
        """Keep entries of a camera; after an error some of the first ones may already be kept."""
        for start in range(0, len(entries), BATCH):
            writer = self._writer(camera)
            writer.append(entries[start : start + BATCH])
            self._held[writer.folder] = _Held(writer.size, entries[-1].at)

    def keep_picture(self, camera: str, at: float, jpeg: bytes) -> None:
        """Keep the picture of the camera's sample at ``at``."""
        writer = self._writer(camera)
        writer.keep_picture(at, jpeg)
        self._held[writer.folder] = _Held(writer.size, at)

    def expire(self, now: float) -> None:
        """Remove segments that are too old, then the oldest until the size fits.

        Args:
            now: Current time, UTC seconds.
        """
        oldest_first = sorted(self._held, key=lambda folder: self._held[folder].written)
        for folder in oldest_first:
            too_old = self._held[folder].written < now - self._limits.max_age_s
            if not too_old and self.size <= self._limits.max_bytes:
                break
            self._remove(folder)

    def close(self) -> None:
        """Close the files. The next start continues segments that are not full."""
        for writer in self._filled.values():
            writer.close()
        self._filled.clear()

    def _writer(self, camera: str) -> SegmentWriter:
        writer = self._filled.get(camera)
        if writer is not None and writer.full:
            self._seal(writer)
            del self._filled[camera]
            writer = None
        if writer is None:
            writer = self._next(self._folder / camera)
            self._filled[camera] = writer
        return writer

    def _next(self, folder: Path) -> SegmentWriter:
        """Return the writer of the camera's last segment if it is not full, else of a new one."""
        numbers = sorted(path.name for path in folder.glob("*") if path.name.isdecimal())
        if numbers:
            last = SegmentWriter(folder / numbers[-1], self._dim, self._segment_rows)
            if not last.full:
                return last
            self._seal(last)  # it is already sealed, unless a crash prevented it
        number = int(numbers[-1]) + 1 if numbers else 0
        return SegmentWriter(folder / f"{number:08d}", self._dim, self._segment_rows)

    def _seal(self, writer: SegmentWriter) -> None:
        writer.seal()
        writer.close()
        self._held[writer.folder] = _Held(writer.size, writer.extent.last)

    def _remove(self, folder: Path) -> None:
        camera = folder.parent.name
        writer = self._filled.get(camera)
        if writer is not None and writer.folder == folder:
            writer.close()
            del self._filled[camera]
        remove_segment(folder)
        del self._held[folder]
        self.expired += 1


@dataclass(frozen=True, slots=True)
class Found:
    """Segment and its camera."""

    camera: str
    segment: Segment


class Reader:
    """Index of one model as searches see it; needs no lock.

    Args:
        folder: Folder of the model.
        dim: D.
    """

    def __init__(self, folder: Path, dim: int) -> None:
        self._folder = folder
        self._dim = dim
        self._full: dict[Path, Segment] = {}

    def segments(self, camera: str | None, since: float, until: float) -> list[Found]:
        """Return the segments with rows between ``since`` and ``until``, in the order of writing.

        Args:
            camera: Camera of the segments; None for all cameras.
            since: Beginning, UTC seconds.
            until: End, UTC seconds.
        """
        known, self._full = self._full, {}
        found = []
        for folder in sorted(self._folder.glob("*/*")):
            segment = known.get(folder) or open_segment(folder, self._dim)
            if segment is None:
                continue
            if segment.codes is not None:
                self._full[folder] = segment
            wanted = camera is None or camera == folder.parent.name
            if wanted and segment.extent.first <= until and segment.extent.last >= since:
                found.append(Found(folder.parent.name, segment))
        return found
