"""Keeps results that take long to compute in a SQLite file, by key: a cache, which may be lost.

A record that is damaged counts as missing, and a file that cannot be used costs only the time to
compute again: nothing waits for it, and nothing fails because of it.
"""

import contextlib
import hashlib
import logging
import sqlite3
from collections import deque
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from edge.errors import SideFileError
from edge.system.set_aside import remove_with_logs
from edge.system.trouble import SQLITE_ERRORS, in_trouble, trouble_of

logger = logging.getLogger(__name__)

_TABLE: Final = "CREATE TABLE IF NOT EXISTS kept (key BLOB PRIMARY KEY, value BLOB NOT NULL)"
_DIGEST_BYTES: Final = 16
_MOST_BYTES: Final = 64 << 20
# Records that are written together: a process that is killed computes at most these again.
_TOGETHER: Final = 64
# Another process that writes the file is not waited for longer.
_LOCK_S: Final = 0.1
# Uses of the file whose values are not deleted.
_RECENT: Final = 4


class CacheFile:
    """File of a cache. Each use opens it anew, so any thread may.

    Args:
        path: Path of the file. The file and its folder are created where they do not exist.
        most_bytes: Size of the values above which the oldest are deleted that none of the last
            uses asked for.
    """

    def __init__(self, path: Path, most_bytes: int = _MOST_BYTES) -> None:
        self.name = path.name
        self._path = path
        self._most_bytes = most_bytes
        self._trouble: SideFileError | None = None
        # Keys of the last uses: sentences of one start are used by several models.
        self._recent: deque[set[bytes]] = deque(maxlen=_RECENT)

    @contextmanager
    def opened(self) -> Iterator["OpenCache"]:
        """Open the file; a file that cannot be used gives an empty cache that keeps nothing."""
        cache = OpenCache(self._path)
        try:
            yield cache
        finally:
            self._recent.append(cache.used)
            cache.close(self._most_bytes, set[bytes]().union(*self._recent))
            before, self._trouble = self._trouble, cache.trouble
            if before is None and self._trouble is not None:
                logger.warning("%s", self._trouble)

    def flush(self) -> None:
        """Look whether a file that could not be used can be.

        Raises:
            SideFileError: It still cannot be used.
        """
        if self._trouble is not None:
            with self.opened():
                pass
        if self._trouble is not None:
            raise self._trouble


class OpenCache:
    """Cache that is open: made by ``CacheFile.opened``.

    Attributes:
        trouble: Why the file cannot be used, or not any more; None while it can.
        used: Keys that were read or written.
    """

    def __init__(self, path: Path) -> None:
        self.trouble: SideFileError | None = None
        self._path = path
        self._db: sqlite3.Connection | None = None
        self.used: set[bytes] = set()
        self._written = 0
        with self._careful():
            path.parent.mkdir(parents=True, exist_ok=True)
            db = self._db = sqlite3.connect(path, timeout=_LOCK_S)
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            db.execute(_TABLE)

    def read(self, key: bytes) -> bytes | None:
        """Return the value that was written for ``key``; None if it is missing or damaged."""
        self.used.add(key)
        record: bytes | None = None
        with self._careful():
            if self._db is not None:
                query = "SELECT value FROM kept WHERE key = ?"
                record = (self._db.execute(query, (key,)).fetchone() or (None,))[0]
        if not isinstance(record, bytes):
            return None
        value = record[_DIGEST_BYTES:]
        return value if record[:_DIGEST_BYTES] == _digest(key, value) else None

    def write(self, key: bytes, value: bytes) -> None:
        """Keep ``value`` for ``key``; a failure is only logged."""
        self.used.add(key)
        with self._careful():
            if self._db is not None:
                self._db.execute(
                    "INSERT OR REPLACE INTO kept VALUES (?, ?)", (key, _digest(key, value) + value)
                )
                self._written += 1
                if self._written % _TOGETHER == 0:
                    self._db.commit()

    def close(self, most_bytes: int, needed: Container[bytes]) -> None:
        """Close the file. If it was written to, delete old values, but none that is needed."""
        with self._careful():
            if self._db is not None and self._written:
                self._shrink(self._db, most_bytes, needed)
                self._db.commit()
        self._forget()

    def _shrink(self, db: sqlite3.Connection, most_bytes: int, needed: Container[bytes]) -> None:
        # A damaged record may have no value, though the table forbids it.
        query = "SELECT key, coalesce(length(value), 0) FROM kept ORDER BY rowid"
        sizes = db.execute(query).fetchall()
        excess = sum(size for _, size in sizes) - most_bytes
        for key, size in sizes:
            if excess <= 0:
                return
            if key not in needed:
                db.execute("DELETE FROM kept WHERE key = ?", (key,))
                excess -= size

    @contextmanager
    def _careful(self) -> Iterator[None]:
        """Go on without the file after an error; a damaged file makes room for a new one."""
        try:
            yield
        except (OSError, *SQLITE_ERRORS) as exc:
            trouble = trouble_of(exc)
            self._forget()
            if trouble == "damaged":
                logger.warning("%s: %s; it begins anew", self._path, exc)
                with contextlib.suppress(OSError):
                    remove_with_logs(self._path)
                return
            self.trouble = in_trouble(self._path, exc, meanwhile="sentences are computed again")

    def _forget(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None


def _digest(key: bytes, value: bytes) -> bytes:
    return hashlib.sha256(key + value).digest()[:_DIGEST_BYTES]
