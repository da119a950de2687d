"""Stores the index of one device: a folder for each model, with a folder of segments per camera.

::

    <state_dir>/index/<hash of the bundle>/<camera>/00000042/

Embeddings of two models must never be compared, so they are kept apart; segments of an earlier
model and of a removed camera age with the rest. When the index is too large or too old, whole
segments are removed, oldest first.

A wrong clock removes nothing. What this process writes ages by the monotonic clock. What earlier
ones wrote ages by the time of their last write, while the caller believes the clock; a time that
lies in the future, or before there was an index, is that of a wrong clock and becomes the present.
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from errno import EINVAL
from pathlib import Path
from typing import Final

from edge.search.index.format import BATCH, Entry
from edge.search.index.segment import (
    DAMAGE,
    ROWS,
    Segment,
    SegmentWriter,
    date,
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
    """Segment in the catalogue.

    Attributes:
        size: Bytes of its files.
        written: Time of its last write by an earlier store, UTC seconds; infinite if not known.
        appended: Monotonic time of its last write by this store; None if there was none.
    """

    size: int
    written: float = math.inf
    appended: float | None = None

    @property
    def order(self) -> tuple[bool, float]:
        """Return what the least recently written segment has the least of, whatever the clock."""
        return (False, self.written) if self.appended is None else (True, self.appended)


class Store:
    """Index as its only writer sees it. Only one thread may use it.

    Args:
        root: Folder of the index, created if it is missing.
        model: Hash of the bundle.
        dim: Dimension of the embeddings, D.
        limits: Maximum age and size.
        segment_rows: Number of rows of a full segment.
        monotonic: Monotonic seconds.

    Attributes:
        expired: Number of segments removed so far because of age or size.

    Raises:
        OSError: The disk cannot be used; every method that writes may raise it too.
    """

    def __init__(
        self,
        root: Path,
        model: str,
        dim: int,
        limits: Limits,
        *,
        segment_rows: int = ROWS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.expired = 0
        self._root = root
        self._folder = root / model
        self._dim = dim
        self._limits = limits
        self._segment_rows = segment_rows
        self._monotonic = monotonic
        self._believed = False
        self._filled: dict[str, SegmentWriter] = {}
        self._folder.mkdir(parents=True, exist_ok=True)
        self._held: dict[Path, _Held] = {}
        latest: dict[Path, float] = {}
        for folder in sorted(root.glob("*/*/*")):
            if not folder.name.isdecimal() or not folder.is_dir():
                continue  # not the index's own
            measured = measure(folder)
            if measured is None:
                with suppress(OSError):  # without rows it is not found; the next start tries again
                    remove_segment(folder)
                continue
            size, written = measured
            # A segment that seems older than the one before was written while the clock was wrong.
            self._held[folder] = _Held(size, max(written, latest.get(folder.parent, written)))
            if math.isfinite(written):
                latest[folder.parent] = self._held[folder].written

    @property
    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(held.size for held in self._held.values())

    def append(self, camera: str, entries: Sequence[Entry]) -> None:
        """Keep entries of a camera; after an error some of the first ones may already be kept."""
        for start in range(0, len(entries), BATCH):
            writer = self._writer(camera)
            writer.append(entries[start : start + BATCH])
            self._held[writer.folder] = _Held(writer.size, appended=self._monotonic())

    def keep_picture(self, camera: str, at: float, jpeg: bytes) -> None:
        """Keep the picture of the camera's sample at ``at``."""
        writer = self._writer(camera)
        writer.keep_picture(at, jpeg)
        self._held[writer.folder] = _Held(writer.size, appended=self._monotonic())

    def expire(self, now: float | None) -> None:
        """Remove segments that are too old, then the oldest until the size fits.

        Args:
            now: Current time, UTC seconds; None if the clock cannot be believed: what an earlier
                store wrote is then removed for the size only.
        """
        if now is not None:
            self._correct(now)
        self._believed = now is not None
        excess = self.size - self._limits.max_bytes
        failure: OSError | None = None
        for folder, held in sorted(self._held.items(), key=lambda item: item[1].order):
            if excess <= 0 and self._age(held, now) <= self._limits.max_age_s:
                continue
            try:
                self._remove(folder)
                excess -= held.size
            except OSError as exc:
                failure = exc  # the others go all the same
        if failure is not None:
            raise failure

    def _age(self, held: _Held, now: float | None) -> float:
        """Return the seconds since a segment's last write; 0 if they are not known."""
        if held.appended is not None:
            return self._monotonic() - held.appended
        return 0.0 if now is None else now - held.written

    def _correct(self, now: float) -> None:
        """Give the right times to segments that were written while the clock was wrong."""
        for folder, held in self._held.items():
            if held.appended is not None and not self._believed:
                date(folder, now - self._age(held, now))
            elif held.appended is None and held.written > now:
                date(folder, now)
                self._held[folder] = replace(held, written=now)

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
        """Return the writer of the camera's last segment if it can be filled, else of a new one."""
        numbers = sorted(path.name for path in folder.glob("*") if path.name.isdecimal())
        if numbers:
            last = self._last(folder / numbers[-1])
            if last is not None and not last.full:
                return last
            if last is not None:
                self._seal(last)  # it is already sealed, unless a crash prevented it
        number = int(numbers[-1]) + 1 if numbers else 0
        return SegmentWriter(folder / f"{number:08d}", self._dim, self._segment_rows)

    def _last(self, folder: Path) -> SegmentWriter | None:
        """Open a segment to go on with it; None if it is damaged: it stays as it is, and ages."""
        try:
            return SegmentWriter(folder, self._dim, self._segment_rows)
        except OSError as exc:
            if exc.errno not in (EINVAL, *DAMAGE):
                raise
            return None

    def _seal(self, writer: SegmentWriter) -> None:
        writer.seal()
        writer.close()
        held = self._held.get(writer.folder, _Held(0))
        self._held[writer.folder] = replace(held, size=writer.size)

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

    def cameras(self) -> list[str]:
        """Return the names of the cameras that have segments."""
        return sorted({folder.parent.name for folder in self._folder.glob("*/*")})

    def segments(self, camera: str | None, since: float, until: float) -> list[Found]:
        """Return the segments with rows between ``since`` and ``until``, in the order of writing.

        Args:
            camera: Camera of the segments; None for all cameras.
            since: Beginning, UTC seconds.
            until: End, UTC seconds.

        Raises:
            OSError: Files of the index may not be read.
        """
        found = []
        for folder in sorted(self._folder.glob("*/*")):
            if camera is not None and camera != folder.parent.name:
                continue
            segment = open_segment(folder, self._dim)
            if segment and segment.extent.first <= until and segment.extent.last >= since:
                found.append(Found(folder.parent.name, segment))
        return found
