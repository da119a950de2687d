"""Writes the index to disk in a thread, so that the daemon's loop never waits for the disk.

The loop only appends to a list. The thread writes the list every few seconds, so a crash loses
these few seconds of the index and nothing else. While the disk is slow, full or gone, data that
cannot be written is dropped and counted; alerts never wait for it.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from edge.errors import StruckOut
from edge.search.index.format import Entry
from edge.search.index.store import Store
from edge.system.pulse import Pulse
from edge.system.workers import WorkerThread

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WriterLimits:
    """Times and bounds of the writer.

    Attributes:
        flush_s: Seconds between two writes.
        retry_s: Seconds from a failure of the disk to the next try.
        most_embeddings: Maximum embeddings that wait while the disk is slow: 10 MB with the largest
            existing models.
        most_pictures: Maximum pictures that wait. A picture is as large as twenty embeddings; a
            camera adds one every ten seconds, so this is enough for some cameras.
    """

    flush_s: float = 3.0
    retry_s: float = 3.0
    most_embeddings: int = 4096
    most_pictures: int = 64


@dataclass(frozen=True, slots=True)
class IndexHealth:
    """State of the index writer.

    Attributes:
        kept: Number of embeddings written since the start.
        dropped: Number of embeddings and pictures that could not be written.
        expired: Number of segments removed because of age or size.
        size: Bytes of all files.
        error: Reason why nothing is written at the moment, or None.
    """

    kept: int
    dropped: int
    expired: int
    size: int
    error: str | None


# A disk that has not answered for so long answers no more.
_LONGEST_S: Final = 600.0


class IndexWriter:
    """Writer of an index in its own thread.

    Args:
        open_store: Opens the index; called in the thread, and again after a failure.
        clock: UTC seconds; None while they cannot be believed.
        limits: Times and bounds of the writer.
    """

    def __init__(
        self,
        open_store: Callable[[], Store],
        clock: Callable[[], float | None],
        *,
        limits: WriterLimits = WriterLimits(),
    ) -> None:
        self._open_store = open_store
        self._clock = clock
        self._limits = limits
        self._store: Store | None = None
        self._retry_at = float("-inf")
        self._stop = threading.Event()
        self._thread = WorkerThread("index", self._run)
        self.pulse = Pulse(_LONGEST_S)

        self._lock = threading.Lock()  # protects all fields below
        self._entries: dict[str, list[Entry]] = {}
        self._pictures: list[tuple[str, float, bytes]] = []
        self._waiting = 0
        self._health = IndexHealth(0, 0, 0, 0, None)

    def start(self) -> None:
        self._thread.start()

    def add(self, camera: str, entry: Entry) -> None:
        """Queue an embedding of a camera for writing; return at once."""
        with self._lock:
            if self._waiting < self._limits.most_embeddings:
                self._waiting += 1
                self._entries.setdefault(camera, []).append(entry)
            else:
                self._count(dropped=1)

    def add_picture(self, camera: str, at: float, jpeg: bytes) -> None:
        """Queue the picture of the camera's sample at ``at``, UTC seconds; return at once."""
        with self._lock:
            if len(self._pictures) < self._limits.most_pictures:
                self._pictures.append((camera, at, jpeg))
            else:
                self._count(dropped=1)

    def health(self) -> IndexHealth:
        with self._lock:
            return self._health

    def stop(self, timeout_s: float) -> None:
        """Write the queue and end the thread; wait at most ``timeout_s`` for a hanging disk."""
        self._stop.set()
        self._thread.join(timeout_s)

    @property
    def failed(self) -> bool:
        """Return whether an unexpected error has ended the thread."""
        return self._thread.failed

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._limits.flush_s):
                self.pulse.beat()
                if time.monotonic() >= self._retry_at:
                    self._flush()
                self.pulse.rest()
            self._flush()
        finally:
            self._close()

    def _flush(self) -> None:
        with self._lock:
            entries, pictures = self._entries, self._pictures
            self._entries, self._pictures, self._waiting = {}, [], 0
        left = sum(len(held) for held in entries.values()) + len(pictures)
        try:
            store = self._store = self._store or self._open_store()
            for camera, held in entries.items():
                store.append(camera, held)
                left -= len(held)
                with self._lock:
                    self._count(kept=len(held))
            for camera, at, jpeg in pictures:
                store.keep_picture(camera, at, jpeg)
                left -= 1
            store.expire(self._clock())
        except Exception as exc:  # noqa: BLE001  this thread's owner: what waited is lost
            self._fail(exc, left)
        else:
            with self._lock:
                self._health = replace(
                    self._health, expired=store.expired, size=store.size, error=None
                )

    def _fail(self, exc: Exception, dropped: int) -> None:
        with self._lock:
            if self._health.error is None:
                trace = None if isinstance(exc, (OSError, StruckOut)) else exc
                logger.error("the index is not written: %s; alerts go on", exc, exc_info=trace)
            self._count(dropped=dropped)
            self._health = replace(self._health, error=f"index: {exc}")
        self._retry_at = time.monotonic() + self._limits.retry_s
        self._close()  # the next open reads the disk's state again

    def _close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def _count(self, *, kept: int = 0, dropped: int = 0) -> None:
        """Add to the counters, under the lock."""
        health = self._health
        self._health = replace(health, kept=health.kept + kept, dropped=health.dropped + dropped)
