"""The outbox's file: its tables, its rows, and what happens when it is damaged.

Every row carries a CRC-32 of its body: SQLite notices a broken page, not a flipped bit in one.
A damaged file is set aside, never deleted, and what can still be read moves to a new one. So a
bad sector costs at most the messages on it and never a start.
"""

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Final
from zlib import crc32

import cbor2

from edge.delivery.message import Kind, Message
from edge.errors import OutboxError
from edge.system.kept_file import is_damage, move_aside

logger = logging.getLogger(__name__)

SCHEMA_VERSION: Final = 1

# In the order of sending; dropping goes from the other end. The index is the column ``kind``.
KINDS: Final[tuple[Kind, ...]] = ("alert", "snapshot", "embedding")

# SQLite cannot even delete on a full disk: its log must grow first. So much is kept back for it.
RESERVE_BYTES: Final = 1024 * 1024
_RESERVE_RETRY_S: Final = 30.0

# SQLite's log is worked off at this many pages (of 4 KiB), and cut back to so many bytes: less than
# the reserve.
_WAL_PAGES: Final = 200
_WAL_BYTES: Final = _WAL_PAGES * 4096
_BUSY_S: Final = 2.0
_MAX_SEQ: Final = 2**62

# ``lane``: camera and kind, within which the order is kept. ``totals`` follows by triggers, in the
# same transaction as the rows.
_SCHEMA: Final = (
    (
        "CREATE TABLE messages (seq INTEGER PRIMARY KEY, kind INTEGER NOT NULL,"
        " lane INTEGER NOT NULL, size INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL)"
    ),
    "CREATE INDEX in_order ON messages (kind, seq, lane, size)",
    (
        "CREATE TABLE totals (kind INTEGER PRIMARY KEY, messages INTEGER NOT NULL DEFAULT 0,"
        " bytes INTEGER NOT NULL DEFAULT 0, dropped INTEGER NOT NULL DEFAULT 0)"
    ),
    (
        "CREATE TRIGGER added AFTER INSERT ON messages BEGIN UPDATE totals"
        " SET messages = messages + 1, bytes = bytes + NEW.size WHERE kind = NEW.kind; END"
    ),
    (
        "CREATE TRIGGER removed AFTER DELETE ON messages BEGIN UPDATE totals"
        " SET messages = messages - 1, bytes = bytes - OLD.size WHERE kind = OLD.kind; END"
    ),
)
_INSERT: Final = (
    "INSERT OR IGNORE INTO messages (seq, kind, lane, size, crc, body) VALUES (?, ?, ?, ?, ?, ?)"
)


class Damaged(Exception):
    """The file is no outbox, or no longer a sound one."""


def lane_number(lane: str) -> int:
    """``Message.lane`` as the column ``lane``."""
    return crc32(lane.encode())


def insert(db: sqlite3.Connection, seq: int, message: Message, body: bytes) -> None:
    """Add one row; ``body`` is ``pack(message)``."""
    kind = KINDS.index(message.kind)
    db.execute(_INSERT, (seq, kind, lane_number(message.lane), len(body), crc32(body), body))


# An alert carries its record beside the payload, which says the same.
_STORED: Final = tuple(field.name for field in fields(Message))


def pack(message: Message) -> bytes:
    """A message as the bytes of a row."""
    return cbor2.dumps([getattr(message, name) for name in _STORED])


def unpack(body: object, crc: object) -> Message | None:
    """The message of a row, or None where the row is damaged."""
    if isinstance(body, bytes) and crc32(body) == crc:
        return Message(*cbor2.loads(body))
    return None


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Commit what the block does, or none of it."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # SQLite has already rolled back after some errors (disk full).
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def open_file(path: Path) -> sqlite3.Connection:
    """Open the outbox at ``path``, or make one; the file stays locked until closed.

    Raises:
        Damaged: There is a file, but not a sound outbox.
        OutboxError: Written by a newer version.
        sqlite3.DatabaseError: No permission, no disk, locked by another process.
    """
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_BUSY_S)
    try:
        # Text in a damaged file may not be UTF-8; nothing here needs it as str.
        db.text_factory = bytes
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute(f"PRAGMA wal_autocheckpoint={_WAL_PAGES}")
        db.execute(f"PRAGMA journal_size_limit={_WAL_BYTES}")
        with transaction(db):
            _make_or_check(db, path)
    except sqlite3.DatabaseError as exc:
        db.close()
        if is_damage(exc):
            raise Damaged(str(exc)) from exc
        raise
    except BaseException:
        db.close()
        raise
    return db


def _make_or_check(db: sqlite3.Connection, path: Path) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise OutboxError(
            f"{path} was written by a newer version (format {version}, this one knows up to"
            f" {SCHEMA_VERSION}): start that version, or move the file away"
        )
    found = {sql for (sql,) in db.execute("SELECT sql FROM sqlite_schema")}
    if not found:
        for statement in _SCHEMA:
            db.execute(statement)
        db.executemany("INSERT INTO totals (kind) VALUES (?)", [(k,) for k in range(len(KINDS))])
        db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    if version and found != {statement.encode() for statement in _SCHEMA}:
        raise Damaged("its tables are not an outbox's")
    if found and not version:
        raise Damaged("it is another program's database")
    (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != b"ok":
        raise Damaged(verdict.decode(errors="replace"))
    if [k for (k,) in db.execute("SELECT kind FROM totals ORDER BY kind")] != [0, 1, 2]:
        raise Damaged("its totals are incomplete")


def replace_file(path: Path, why: str) -> sqlite3.Connection:
    """Set a damaged file aside and open a new one with everything that can still be read."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    for older in path.parent.glob(f"{path.stem}-corrupt-*"):
        older.unlink()  # Only the newest is kept, or a bad disk fills itself with evidence.
    aside = path.with_name(f"{path.stem}-corrupt-{stamp}{path.suffix}")
    move_aside(path, aside)
    db = open_file(path)
    saved = 0
    with transaction(db):
        for seq, message, body in _salvage(aside):
            insert(db, seq, message, body)
            saved += 1
    logger.error(
        "outbox %s is damaged (%s): set aside as %s; %d messages moved to a new one",
        path, why, aside.name, saved,
    )  # fmt: skip
    return db


def _salvage(aside: Path) -> Iterator[tuple[int, Message, bytes]]:
    """Read the sound rows; behind a broken place, feel for the next one that can be read."""
    query = "SELECT seq, crc, body FROM messages NOT INDEXED WHERE seq > ? ORDER BY seq"
    last, step = 0, 1
    with contextlib.closing(sqlite3.connect(aside)) as db:
        db.text_factory = bytes
        while last < _MAX_SEQ:
            try:
                for seq, crc, body in db.execute(query, (last,)):
                    if seq <= last:  # pages that lead in a circle give rows for ever
                        raise sqlite3.DatabaseError("rows out of order")  # noqa: TRY301  as SQLite does
                    last, step = seq, 1
                    if message := unpack(body, crc):
                        yield seq, message, body
            except sqlite3.DatabaseError:
                last, step = last + step, step + step // 4 + 1
            else:
                return


class Reserve:
    """A file of nothing, given up on a full disk so that deletes can go on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept = False
        self._tried_at = -float("inf")

    def keep(self) -> None:
        """Make the file, if it is not there; tried at intervals while the disk is full."""
        now = time.monotonic()
        if self._kept or now < self._tried_at + _RESERVE_RETRY_S:
            return
        self._tried_at = now
        try:
            with self._path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
        except OSError as exc:
            self._path.unlink(missing_ok=True)
            logger.warning("no room for the outbox's reserve %s: %s", self._path, exc.strerror)
        else:
            self._kept = True

    def release(self) -> None:
        self._path.unlink(missing_ok=True)
        self._kept = False
        self._tried_at = -float("inf")
