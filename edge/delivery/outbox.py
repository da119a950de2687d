"""Queues messages on disk, from their commit until the broker has acknowledged them.

SQLite in WAL mode with ``synchronous=FULL``: a commit survives kill -9 and, on a disk that really
flushes its cache, a power cut. One connection behind a lock serves the daemon (puts) and the
publisher (reads, deletes).
"""

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from json import dumps
from pathlib import Path
from typing import Final, TypeVar

from edge.delivery.message import Kind, Message
from edge.delivery.outbox_file import (
    KINDS,
    Damaged,
    Reserve,
    insert,
    lane_number,
    open_file,
    pack,
    replace_file,
    transaction,
    unpack,
)
from edge.errors import OutboxError
from edge.system.trouble import SQLITE_ERRORS, trouble_of

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_Row = tuple[Message, bytes]

_DROP_REPORT_S: Final = 60.0
# Size of the messages that are read at once.
_READ_BYTES: Final = 4 * 1024 * 1024
# Least number of bytes freed on a full disk before the second attempt.
_ROOM_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Queued:
    """Stored message. ``seq`` is unique while the process lives."""

    seq: int
    message: Message


@dataclass(frozen=True, slots=True)
class OutboxCounts:
    """Counts of the outbox.

    Attributes:
        queued: Messages stored now, by kind.
        bytes: Size of the stored messages.
        dropped: Messages dropped undelivered, by kind, since the outbox exists (over restarts).
        damaged: Number of times that the file was set aside since the process started.
    """

    queued: dict[Kind, int]
    bytes: int
    dropped: dict[Kind, int]
    damaged: int


class Outbox:
    """Bounded queue of messages on disk; every method may be called from any thread.

    Args:
        path: Database file; it and its folder are created where they do not exist.
        max_bytes: Limit on the size of stored messages. When it is reached, embeddings are dropped
            first, then snapshots, then alerts, the oldest first; each is counted. A message on the
            wire may be dropped too: its acknowledgement then finds nothing to delete.

    Raises:
        OutboxError: No permission, no disk, in use by another process, or written by a newer
            version. A damaged file is not an error: it is replaced (``edge.delivery.outbox_file``).
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []
        self._damaged = 0
        self._drops_reported_at = -float("inf")
        self._reserve = Reserve(path.with_suffix(".reserve"))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = self._open()
        except (OSError, *SQLITE_ERRORS) as exc:
            raise self._failure(exc) from exc
        self._reserve.keep()
        (newest,) = self._db.execute("SELECT coalesce(max(seq), 0) FROM messages").fetchone()
        # Numbers are never reused in a process: a late PUBACK must not delete a new message.
        self._next_seq = newest + 1

    def listen(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` after each ``put``, on the thread that calls ``put``."""
        self._listeners.append(callback)

    def put(self, messages: Sequence[Message]) -> None:
        """Store ``messages`` in one transaction; on return they are committed.

        Raises:
            OutboxError: The disk refuses them, even after older messages were dropped.
            ValueError: A message has a kind that is not queued, or a QoS without PUBACK.
        """
        if any(message.kind not in KINDS or message.qos != 1 for message in messages):
            raise ValueError(f"expected messages of QoS 1 and one of the kinds {KINDS}")
        rows = [(message, pack(message)) for message in messages]
        with self._lock:
            self._healing(lambda: self._insert(rows), lambda: self._make_room(rows))
            self._reserve.keep()
        for callback in self._listeners:
            callback()

    def pending(
        self, limit: int, excluding: Iterable[int] = (), holding: Iterable[str] = ()
    ) -> list[Queued]:
        """Next messages to send: alerts, then snapshots, then embeddings, each oldest first.

        Args:
            limit: Largest number of messages; fewer where they are large.
            excluding: Sequence numbers to leave out, such as those on the wire.
            holding: Lanes to leave out (``Message.lane``).
        """
        excluded, lanes = dumps(list(excluding)), dumps([lane_number(lane) for lane in holding])
        with self._lock:
            return self._healing(lambda: self._select(limit, excluded, lanes))

    def delete(self, seqs: Iterable[int], *, dropped: bool = False) -> None:
        """Delete messages in one transaction; unknown numbers are ignored.

        Args:
            seqs: ``Queued.seq`` of each message.
            dropped: Whether the messages were not delivered, and count as dropped.
        """
        gone = list(seqs)
        with self._lock:
            self._healing(lambda: self._remove(gone, dropped=dropped))

    def counts(self) -> OutboxCounts:
        query = "SELECT messages, bytes, dropped FROM totals ORDER BY kind"
        with self._lock:
            rows = self._healing(lambda: self._db.execute(query).fetchall())
        queued, sizes, dropped = zip(*rows, strict=True)
        return OutboxCounts(
            queued=dict(zip(KINDS, queued, strict=True)),
            bytes=sum(sizes),
            dropped=dict(zip(KINDS, dropped, strict=True)),
            damaged=self._damaged,
        )

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _open(self) -> sqlite3.Connection:
        try:
            return open_file(self._path)
        except Damaged as exc:
            self._damaged += 1
            return replace_file(self._path, str(exc))

    def _healing(self, action: Callable[[], _T], room: Callable[[], None] | None = None) -> _T:
        """Run ``action``; on a damaged file or a full disk, repair that and try once more."""
        try:
            try:
                return action()
            except SQLITE_ERRORS as exc:
                if trouble_of(exc) == "damaged":
                    self._db.close()
                    self._damaged += 1
                    self._db = replace_file(self._path, str(exc))
                elif trouble_of(exc) == "full":
                    self._reserve.release()
                    self._shorten_log()
                    if room:
                        room()
                else:
                    raise
            return action()
        except (OSError, *SQLITE_ERRORS) as exc:
            raise self._failure(exc) from exc

    def _insert(self, rows: list[_Row]) -> None:
        with transaction(self._db):
            for message, body in rows:
                if len(body) > self._max_bytes:
                    self._count_dropped(KINDS.index(message.kind), 1)
                else:
                    insert(self._db, self._next_seq, message, body)
                    self._next_seq += 1
            (total,) = self._db.execute("SELECT sum(bytes) FROM totals").fetchone()
            self._evict(total - self._max_bytes, down_to=0)

    def _make_room(self, rows: list[_Row]) -> None:
        # An embedding must not displace an alert.
        least = min(KINDS.index(message.kind) for message, _ in rows)
        wanted = max(_ROOM_BYTES, 2 * sum(len(body) for _, body in rows))
        with transaction(self._db):
            self._evict(wanted, down_to=least)
        self._shorten_log()

    def _shorten_log(self) -> None:
        with contextlib.suppress(sqlite3.OperationalError):  # the disk is too full for this as well
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _evict(self, excess: int, *, down_to: int) -> None:
        """Drop the oldest messages of the least important kind until ``excess`` bytes are free."""
        query = "SELECT seq, size FROM messages WHERE kind = ? ORDER BY seq"
        for kind in range(len(KINDS) - 1, down_to - 1, -1):
            gone = []
            for seq, size in self._db.execute(query, (kind,)):
                if excess <= 0:
                    break
                gone.append(seq)
                excess -= size
            self._delete_rows(gone)
            self._count_dropped(kind, len(gone))

    def _select(self, limit: int, excluded: str, lanes: str) -> list[Queued]:
        rows = self._db.execute(
            "SELECT seq, crc, body FROM messages"
            " WHERE seq NOT IN (SELECT value FROM json_each(?))"
            " AND lane NOT IN (SELECT value FROM json_each(?)) ORDER BY kind, seq LIMIT ?",
            (excluded, lanes, limit),
        )
        read: list[tuple[int, Message | None]] = []
        size = 0
        for seq, crc, body in rows:
            read.append((seq, unpack(body, crc)))
            size += len(body)
            if size >= _READ_BYTES:
                break
        rows.close()
        damaged = [seq for seq, message in read if message is None]
        if damaged:
            self._remove(damaged, dropped=True)
            return self._select(limit, excluded, lanes)
        return [Queued(seq, message) for seq, message in read if message is not None]

    def _remove(self, seqs: list[int], *, dropped: bool) -> None:
        with transaction(self._db):
            if dropped:
                kinds = "SELECT kind, count(*) FROM messages WHERE seq IN (SELECT value FROM"
                kinds += " json_each(?)) GROUP BY kind"
                for kind, number in self._db.execute(kinds, (dumps(seqs),)).fetchall():
                    self._count_dropped(kind, number)
            self._delete_rows(seqs)

    def _delete_rows(self, seqs: list[int]) -> None:
        self._db.executemany("DELETE FROM messages WHERE seq = ?", [(seq,) for seq in seqs])

    def _count_dropped(self, kind: int, number: int) -> None:
        if not number:
            return
        self._db.execute("UPDATE totals SET dropped = dropped + ? WHERE kind = ?", (number, kind))
        now = time.monotonic()
        if now >= self._drops_reported_at + _DROP_REPORT_S:
            self._drops_reported_at = now
            logger.warning(
                "outbox drops messages: %d of kind %s now; the device's state counts them all",
                number, KINDS[kind],
            )  # fmt: skip

    def _failure(self, exc: Exception) -> OutboxError:
        hint = "check that the disk has room and that the directory may be written"
        if getattr(exc, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            hint = "another process uses it: stop that one, or set another state_dir"
        return OutboxError(f"outbox {self._path}: {exc}; {hint}")
