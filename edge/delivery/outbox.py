"""Queues messages on disk, from their commit until the broker has acknowledged them.

SQLite in WAL mode with ``synchronous=FULL``: a commit survives kill -9 and, on a disk that really
flushes its cache, a power cut. One connection behind a lock serves the daemon (puts) and the
publisher (reads, deletes).

An embedding is worth less than what its commit costs, and nearly all are acknowledged within
milliseconds. So they wait in memory for a second, and only those that are left are written,
together (docs/adr/0030-embeddings-in-memory.md).
"""

import contextlib
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from json import dumps
from pathlib import Path
from typing import Final

from edge.delivery.drops import Drops
from edge.delivery.message import Kind, Message
from edge.delivery.outbox_file import KINDS, delete, insert, lane_number, pack, transaction, unpack
from edge.delivery.outbox_store import OutboxStore
from edge.delivery.payloads import AlertMessage
from edge.delivery.queued import OutboxCounts, Queued, in_order
from edge.delivery.running import ended_by, ends_of_running, note_running
from edge.delivery.young import Young
from edge.errors import OutboxError, SideFileError
from edge.system.attempts import NOT_NOTED, Attempts

# A message, its body, and the number that it has; None: it gets the next one.
_Row = tuple[Message, bytes, int | None]

# Size of the messages that are read at once.
_READ_BYTES: Final = 4 * 1024 * 1024
# Least number of bytes freed on a full disk before the second attempt.
_ROOM_BYTES: Final = 64 * 1024
# Pages (of 4 KiB) that are copied before others have their turn, and how long that is at least.
_COPY_PAGES: Final = 256
_GIVE_WAY_S: Final = 0.001


class Outbox:
    """Bounded queue of messages on disk; every method may be called from any thread.

    Args:
        path: Database file; it and its folder are created where they do not exist.
        max_bytes: Limit on the size of stored messages. When it is reached, embeddings are dropped
            first, then snapshots, then alerts, the oldest first; each is counted. A message on the
            wire may be dropped too: its acknowledgement then finds nothing to delete.
        attempts: Notes the file while it is opened.
        young: Keeps what ``put_later`` takes, until it is written.

    Raises:
        OutboxError: No permission, no disk, in use by another process, or written by a newer
            version. A damaged file is not an error: it is replaced (``edge.delivery.outbox_file``).
            A full disk is none either: ``flush`` opens the file once there is room.

    Attributes:
        name: Name for reports.
    """

    name: Final = "outbox"

    def __init__(
        self,
        path: Path,
        max_bytes: int,
        attempts: Attempts = NOT_NOTED,
        young: Young | None = None,
    ) -> None:
        self._path = path
        self._young = young or Young()
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []
        self._lost: Counter[Kind] = Counter()  # not yet in the file's totals
        self._ended: set[str] = set()  # alerts whose end the file has not noted yet
        self._drops = Drops()
        self._empty = False  # whether the file is known to have no messages
        # Numbers are never reused in a process: a late PUBACK must not delete a new message.
        self._next_seq = 1
        self._store = OutboxStore(path, self._go_on, attempts)
        self._reserve = self._store.reserve

    @property
    def error(self) -> str | None:
        """Reason why messages cannot be stored now; None where they can, as far as is known."""
        return None if self._store.error is None else str(self._store.error)

    def listen(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` after each ``put`` and ``put_later``, on the thread that calls it."""
        self._listeners.append(callback)

    def put(self, messages: Sequence[Message]) -> None:
        """Store ``messages`` in one transaction; on return they are committed.

        Raises:
            OutboxError: The disk refuses them, even after older messages were dropped.
            ValueError: A message has a kind that is not queued, or a QoS without PUBACK.
        """
        if any(message.kind not in KINDS or message.qos != 1 for message in messages):
            raise ValueError(f"expected messages of QoS 1 and one of the kinds {KINDS}")
        rows: list[_Row] = [(message, pack(message), None) for message in messages]
        with self._lock:
            self._ended |= ended_by(messages)
            self._write(rows)
            self._reserve.keep()
        for callback in self._listeners:
            callback()

    def put_later(self, messages: Sequence[Message]) -> None:
        """Take embeddings, which are committed after a second unless they are deleted before.

        While the disk is in trouble they are put like others.

        Raises:
            OutboxError: The disk refuses them, or those of the last second, which then are lost; so
                nobody keeps ``messages``.
            ValueError: A message is no embedding, or has a QoS without PUBACK.
        """
        if any(message.kind != "embedding" or message.qos != 1 for message in messages):
            raise ValueError("expected embeddings of QoS 1")
        if self._store.error is not None:
            self.put(messages)
            return
        now = time.monotonic()
        with self._lock:
            if self._young.is_due(now):
                self._settle_young()
            for message in messages:
                self._young.add(self._next_seq, message, now)
                self._next_seq += 1
        for callback in self._listeners:
            callback()

    def interrupted(self) -> list[AlertMessage]:
        """Make the ends of alerts that run according to the file; ask before the first ``put``.

        Storing an end ends its alert here too: it is made once, whatever crashes in between.

        Raises:
            OutboxError: The file cannot be read.
        """
        with self._lock:
            return self._store.run(lambda db: ends_of_running(db, time.time()), writes=False)

    def lose(self, messages: Iterable[Message]) -> None:
        """Count messages as dropped that could not be stored, and that nobody keeps."""
        with self._lock:
            self._lost.update(message.kind for message in messages)

    def flush(self) -> None:
        """Open, repair and prove the file where it was in trouble, and keep the reserve.

        What ``put_later`` took a second ago is committed.

        Raises:
            SideFileError: It is still in trouble, or the disk is full.
        """
        with self._lock:
            try:
                if self._store.error is not None:
                    self._write([])
                if self._young.is_due(time.monotonic()):
                    self._settle_young()
            except OutboxError as exc:
                raise SideFileError(str(exc), "failing") from exc
            self._reserve.keep()
        full = self._store.full()
        if full is not None:
            raise SideFileError(f"{full}; make room", "full")

    def pending(
        self, limit: int, excluding: Iterable[int] = (), holding: Iterable[str] = ()
    ) -> list[Queued]:
        """Next messages to send: alerts, then snapshots, then embeddings, each oldest first.

        Args:
            limit: Largest number of messages; fewer where they are large.
            excluding: Sequence numbers to leave out, such as those on the wire.
            holding: Lanes to leave out (``Message.lane``).
        """
        excluded, held = set(excluding), set(holding)
        with self._lock:
            read, whole = self._read(limit, excluded, held)
            young = [
                Queued(seq, message)
                for seq, message in self._young
                if seq not in excluded and message.lane not in held
            ]
        return in_order(read, young, whole=whole)[:limit]

    def delete(self, seqs: Iterable[int], *, dropped: bool = False) -> None:
        """Delete messages in one transaction; unknown numbers are ignored.

        Args:
            seqs: ``Queued.seq`` of each message.
            dropped: Whether the messages were not delivered, and count as dropped.
        """
        gone = set(seqs)
        with self._lock:
            young = {seq for seq, _ in self._young if seq in gone}
            if dropped:
                self._lost.update(message.kind for message in self._young.remove(young))
            else:
                self._young.remove(young)
            if gone := gone - young:
                self._store.run(lambda db: self._remove(db, sorted(gone), dropped=dropped))

    def counts(self) -> OutboxCounts:
        query = "SELECT messages, bytes, dropped FROM totals ORDER BY kind"
        with self._lock:
            rows = self._store.run(lambda db: db.execute(query).fetchall(), writes=False)
            lost = self._lost.copy()
            young = Counter(message.kind for _, message in self._young)
            young_bytes = self._young.bytes
        queued, sizes, dropped = zip(*rows, strict=True)
        return OutboxCounts(
            queued={kind: count + young[kind] for kind, count in zip(KINDS, queued, strict=True)},
            bytes=sum(sizes) + young_bytes,
            dropped={kind: count + lost[kind] for kind, count in zip(KINDS, dropped, strict=True)},
            damaged=self._store.damaged,
        )

    def copy_to(self, path: Path) -> None:
        """Write all that is stored into a new file, as of one moment, while others go on.

        Raises:
            OutboxError: The outbox cannot be read.
            sqlite3.Error: The copy cannot be written.
        """

        def give_way(*_: int) -> None:
            # What is stored meanwhile by this connection goes into the copy as well.
            self._lock.release()
            time.sleep(_GIVE_WAY_S)
            self._lock.acquire()

        with self._lock:
            self._settle_young()
            db = self._store.run(lambda db: db, writes=False)
            with contextlib.closing(sqlite3.connect(path)) as copy:
                db.backup(copy, pages=_COPY_PAGES, progress=give_way)

    def close(self) -> None:
        with self._lock:
            with contextlib.suppress(OutboxError):  # which then are lost
                self._settle_young()
            self._store.close()

    def _read(self, limit: int, excluded: set[int], held: set[str]) -> tuple[list[Queued], bool]:
        """Read the next messages of the file; also return whether these are all."""
        if self._empty and self._store.error is None:
            return [], True  # as nearly always, where no alert waits
        numbers, lanes = dumps(list(excluded)), dumps([lane_number(lane) for lane in held])
        read, whole = self._store.run(lambda db: self._select(db, limit, numbers, lanes))
        others = excluded.difference(seq for seq, _ in self._young)
        self._empty = whole and not (read or others or held)
        return read, whole

    def _settle_young(self) -> None:
        """Commit what is in memory alone; where the disk refuses it, count it as lost."""
        rows: list[_Row] = [(message, pack(message), seq) for seq, message in self._young]
        if not rows:
            return
        self._young.clear()
        try:
            self._write(rows)
        except OutboxError:
            self._lost.update(message.kind for message, _, _ in rows)
            raise

    def _write(self, rows: list[_Row]) -> None:
        self._empty = False
        self._store.run(lambda db: self._insert(db, rows), lambda db: self._make_room(db, rows))

    def _go_on(self, newest: int) -> None:
        """Number new messages after the newest one of an opened file."""
        self._next_seq = max(self._next_seq, newest + 1)
        self._empty = False

    def _insert(self, db: sqlite3.Connection, rows: list[_Row]) -> None:
        lost, ended = self._lost.copy(), self._ended.copy()
        with transaction(db):
            note_running(db, (message for message, _, _ in rows), ended)
            for message, body, seq in rows:
                if len(body) > self._max_bytes:
                    self._drops.count(db, KINDS.index(message.kind), 1)
                elif seq is not None:
                    insert(db, seq, message, body)
                else:
                    insert(db, self._next_seq, message, body)
                    self._next_seq += 1
            for kind, number in enumerate(KINDS):
                self._drops.count(db, kind, lost[number])
            (total,) = db.execute("SELECT sum(bytes) FROM totals").fetchone()
            self._drops.evict(db, total - self._max_bytes, down_to=0)
            if not rows:  # a write that proves the disk
                db.execute("UPDATE totals SET dropped = dropped")
        self._lost -= lost
        self._ended -= ended

    def _make_room(self, db: sqlite3.Connection, rows: list[_Row]) -> None:
        # An embedding must not displace an alert.
        least = min((KINDS.index(message.kind) for message, _, _ in rows), default=len(KINDS))
        wanted = max(_ROOM_BYTES, 2 * sum(len(body) for _, body, _ in rows))
        with transaction(db):
            self._drops.evict(db, wanted, down_to=least)

    def _select(
        self, db: sqlite3.Connection, limit: int, excluded: str, lanes: str
    ) -> tuple[list[Queued], bool]:
        """Read the next messages; also return whether these are all."""
        rows = db.execute(
            "SELECT seq, crc, body FROM messages"
            " WHERE seq NOT IN (SELECT value FROM json_each(?))"
            " AND lane NOT IN (SELECT value FROM json_each(?)) ORDER BY kind, seq LIMIT ?",
            (excluded, lanes, limit),
        )
        read: list[tuple[int, Message | None]] = []
        size = 0
        whole = True
        for seq, crc, body in rows:
            read.append((seq, unpack(body, crc)))
            size += len(body) if isinstance(body, bytes) else 0
            whole = size < _READ_BYTES and len(read) < limit
            if not whole:
                break
        rows.close()
        damaged = [seq for seq, message in read if message is None]
        if damaged:
            self._remove(db, damaged, dropped=True)
            return self._select(db, limit, excluded, lanes)
        return [Queued(seq, message) for seq, message in read if message is not None], whole

    def _remove(self, db: sqlite3.Connection, seqs: list[int], *, dropped: bool) -> None:
        with transaction(db):
            if dropped:
                kinds = "SELECT kind, count(*) FROM messages WHERE seq IN (SELECT value FROM"
                kinds += " json_each(?)) GROUP BY kind"
                for kind, number in db.execute(kinds, (dumps(seqs),)).fetchall():
                    self._drops.count(db, kind, number)
            delete(db, seqs)
