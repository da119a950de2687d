"""The index of one device: a folder for each model, in it one for each camera, in it segments.

::

    <state_dir>/index/<hash of the bundle>/<camera>/00000042/

Embeddings of two models must never be compared, so they never lie together; what an earlier model
left ages with the rest. When the index is too large or too old, whole segments go, oldest first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.search.index.format import BATCH, Entry
from edge.search.index.segment import (
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
    """How much is kept.

    Attributes:
        max_age_s: What is older goes.
        max_bytes: Of all files together; a segment that is being filled counts.
    """

    max_age_s: float
    max_bytes: int


@dataclass(frozen=True, slots=True)
class _Held:
    """A segment in the catalogue: bytes of its files, UTC seconds of when it was last written."""

    size: int
    written: float


class Store:
    """The index as its one writer sees it. For one thread.

    Args:
        root: Folder of the index; made where there is none.
        model: Hash of the bundle.
        dim: D.
        limits: How much is kept.

    Attributes:
        expired: Segments removed so far, for age or room.

    Raises:
        OSError: There is no disk; so in all that writes.
    """

    def __init__(self, root: Path, model: str, dim: int, limits: Limits) -> None:
        self.expired = 0
        self._root = root
        self._folder = root / model
        self._dim = dim
        self._limits = limits
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
        """Bytes of all files."""
        return sum(held.size for held in self._held.values())

    def append(self, camera: str, entries: Sequence[Entry]) -> None:
        """Keep entries of a camera; on an error the first of them may be kept already."""
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
        """Remove what is too old, then what is too much.

        Args:
            now: UTC seconds.
        """
        oldest_first = sorted(self._held, key=lambda folder: self._held[folder].written)
        for folder in oldest_first:
            too_old = self._held[folder].written < now - self._limits.max_age_s
            if not too_old and self.size <= self._limits.max_bytes:
                break
            self._remove(folder)

    def close(self) -> None:
        """Close the files. What is not full is filled on at the next start."""
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
        """The camera's last segment where it is not full, else a new one."""
        numbers = sorted(path.name for path in folder.glob("*") if path.name.isdecimal())
        if numbers:
            last = SegmentWriter(folder / numbers[-1], self._dim)
            if not last.full:
                return last
            self._seal(last)  # unless a crash came in between, it is
        number = int(numbers[-1]) + 1 if numbers else 0
        return SegmentWriter(folder / f"{number:08d}", self._dim)

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
    """A segment of a camera."""

    camera: str
    segment: Segment


class Reader:
    """The index of one model as those who search see it; needs no lock.

    Args:
        folder: Of the model.
        dim: D.
    """

    def __init__(self, folder: Path, dim: int) -> None:
        self._folder = folder
        self._dim = dim
        self._full: dict[Path, Segment] = {}

    def segments(self, camera: str | None, since: float, until: float) -> list[Found]:
        """Segments with something between ``since`` and ``until``, in the order of writing.

        Args:
            camera: Only of this one; None for all.
            since: UTC seconds.
            until: UTC seconds.
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
