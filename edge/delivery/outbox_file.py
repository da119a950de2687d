"""Opens the file of the outbox, and reads and writes its rows.

Every row has a CRC-32 of its body: SQLite detects a broken page, but not a flipped bit in a page.
"""

import contextlib
import logging
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import GenericAlias
from typing import Any, Final, get_type_hints
from zlib import crc32

import cbor2
from pydantic import TypeAdapter

from edge.delivery.message import Kind, Message
from edge.delivery.running import RUNNING_TABLE
from edge.errors import OutboxError
from edge.system.trouble import SQLITE_ERRORS, header_is_damaged, is_version, trouble_of

logger = logging.getLogger(__name__)

SCHEMA_VERSION: Final = 1

# Kinds in the order of sending; dropping starts at the other end. The index is the column ``kind``.
KINDS: Final[tuple[Kind, ...]] = ("alert", "snapshot", "embedding")

# SQLite moves its log into the database at this many pages (of 4 KiB), and truncates the log to
# this size: less than the reserve (``edge.delivery.reserve``).
_WAL_PAGES: Final = 200
_WAL_BYTES: Final = _WAL_PAGES * 4096
_BUSY_S: Final = 2.0

# ``lane``: number of camera and kind; a lane keeps its order. Triggers update ``totals`` in the
# same transaction as the rows.
_MESSAGES: Final = (
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
_SCHEMA: Final = (*_MESSAGES, RUNNING_TABLE)
_INSERT: Final = (
    "INSERT OR IGNORE INTO messages (seq, kind, lane, size, crc, body) VALUES (?, ?, ?, ?, ?, ?)"
)


MAX_SEQ: Final = 2**62
"""Highest number of a message; a higher one is damaged."""

# What SQLite's own check lets pass, because a column may hold values of any kind.
_ODD_ROW: Final = (
    "SELECT 1 FROM messages WHERE seq > ? OR typeof(kind) != 'integer' OR typeof(size) != 'integer'"
    " OR typeof(body) != 'blob' OR size != length(body) LIMIT 1"
)
_COUNTED: Final = (
    "SELECT kind, count(seq), coalesce(sum(size), 0), 'integer' FROM"
    " (SELECT column1 AS kind FROM (VALUES (0), (1), (2))) LEFT JOIN messages USING (kind)"
    " GROUP BY kind ORDER BY kind"
)
_TOTALS: Final = "SELECT kind, messages, bytes, typeof(dropped) FROM totals ORDER BY kind"


class Damaged(Exception):
    """The file is not an outbox, or is damaged."""


# What SQLite says of a sector that the disk cannot read: its messages are gone as well.
_UNREADABLE: Final = {sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_CORRUPTFS}


def is_damage(error: Exception) -> bool:
    """Whether an error means that the file must be repaired."""
    code = getattr(error, "sqlite_errorcode", None)
    return trouble_of(error) == "damaged" or code in _UNREADABLE


def lane_number(lane: str) -> int:
    """Value of the column ``lane`` for a ``Message.lane``."""
    return crc32(lane.encode())


def delete(db: sqlite3.Connection, seqs: Iterable[int]) -> None:
    """Delete messages by their numbers; unknown ones are ignored."""
    db.executemany("DELETE FROM messages WHERE seq = ?", [(seq,) for seq in seqs])


def insert(db: sqlite3.Connection, seq: int, message: Message, body: bytes) -> None:
    """Add one row; ``body`` is the result of ``pack(message)``."""
    kind = KINDS.index(message.kind)
    db.execute(_INSERT, (seq, kind, lane_number(message.lane), len(body), crc32(body), body))


# What a row holds, in this order, which versions before this one read too. Other fields of
# ``Message`` are not stored: the content of an ``AlertMessage`` is in its payload.
_STORED: Final = (
    "topic", "payload", "kind", "camera", "qos", "retain", "content_type", "schema", "expiry_s",
    "correlation",
)  # fmt: skip
_KINDS_OF_VALUES: Final = get_type_hints(Message)
_VALUES: Final = TypeAdapter[tuple[Any, ...]](
    GenericAlias(tuple, tuple(_KINDS_OF_VALUES[name] for name in _STORED))  # type: ignore[arg-type]
)


def pack(message: Message) -> bytes:
    """Encode a message as the body of a row."""
    return cbor2.dumps([getattr(message, name) for name in _STORED])


def unpack(body: object, crc: object) -> Message | None:
    """Decode the message of a row; None for a damaged row, or one that is no message."""
    if not isinstance(body, bytes) or crc32(body) != crc:
        return None
    try:
        message = Message(*_VALUES.validate_python(tuple(cbor2.loads(body)), strict=True))
    except (cbor2.CBORDecodeError, ValueError, TypeError):
        return None
    return message if message.kind in KINDS else None


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Run the block as one transaction: all of it is committed, or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # After some errors (disk full) SQLite has already rolled back.
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def open_file(path: Path) -> sqlite3.Connection:
    """Open the outbox at ``path`` or create it; the file is locked until it is closed.

    Raises:
        Damaged: The file exists but is not an intact outbox.
        OutboxError: A newer version wrote the file.
        sqlite3.Error: No permission, no disk, locked by another process.
        OSError: The disk refuses it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if header_is_damaged(path):
        raise Damaged("its header names formats that do not exist")
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_BUSY_S)
    try:
        # Text in a damaged file may not be UTF-8, and this module needs none as str.
        db.text_factory = bytes
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute(f"PRAGMA wal_autocheckpoint={_WAL_PAGES}")
        db.execute(f"PRAGMA journal_size_limit={_WAL_BYTES}")
        with transaction(db):
            _make_or_check(db, path)
    except SQLITE_ERRORS as exc:
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
    if not is_version(version):
        raise Damaged(f"its version is {version}")
    if version > SCHEMA_VERSION:
        raise OutboxError(
            f"{path} was written by a newer version (format {version}, this one knows up to"
            f" {SCHEMA_VERSION}): start that version, or move the file away"
        )
    found = {sql for (sql,) in db.execute("SELECT sql FROM sqlite_schema")}
    if not found:
        make(db)
    if version and found == {statement.encode() for statement in _MESSAGES}:
        db.execute(RUNNING_TABLE)  # a file from before alerts were noted
        found.add(RUNNING_TABLE.encode())
    if version and found != {statement.encode() for statement in _SCHEMA}:
        raise Damaged("its tables are not an outbox's")
    if found and not version:
        raise Damaged("it is another program's database")
    (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != b"ok":
        raise Damaged(verdict.decode(errors="replace"))
    if db.execute(_ODD_ROW, (MAX_SEQ,)).fetchone() is not None:
        raise Damaged("a message has an impossible number, kind or size")
    if db.execute(_COUNTED).fetchall() != db.execute(_TOTALS).fetchall():
        raise Damaged("its totals are wrong")


def make(db: sqlite3.Connection) -> None:
    """Make the tables of an empty outbox."""
    for statement in _SCHEMA:
        db.execute(statement)
    db.executemany("INSERT INTO totals (kind) VALUES (?)", [(k,) for k in range(len(KINDS))])
    db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
