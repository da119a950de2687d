"""Replaces a damaged file of the outbox by a new one with all messages that can be read.

So a bad sector costs at most the messages on it, and never prevents a start. The new file is
complete before the damaged one goes: what interrupts the repair (a crash, a full disk) loses
nothing, and the repair is tried again.
"""

import contextlib
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from edge.delivery.message import Message
from edge.delivery.outbox_file import MAX_SEQ, insert, make, transaction, unpack
from edge.delivery.running import copy_running
from edge.system.atomic_file import followed, sync_folder
from edge.system.set_aside import remove_aside, remove_with_logs, set_aside
from edge.system.trouble import SQLITE_ERRORS, trouble_of

logger = logging.getLogger(__name__)


def repair_file(path: Path, why: str) -> None:
    """Set a damaged file aside, and put one in its place with all messages that can be read.

    Raises:
        sqlite3.Error: The disk refuses it; the damaged file is in place.
        OSError: The same.
    """
    path = followed(path)
    remove_aside(path)  # the room is needed, and one may be as large as the outbox's limit
    building, saved = _beside(path, "building"), 0
    remove_with_logs(building)
    try:
        made = sqlite3.connect(building, isolation_level=None)
        with contextlib.closing(made) as db, transaction(db):
            make(db)
            last = 0
            for seq, message, body in _salvage(path):
                last = seq if seq <= MAX_SEQ else last + 1  # its number is damaged, it is not
                insert(db, last, message, body)
                saved += 1
            _salvage_running(path, db)
        building.replace(_beside(path, "repaired"))
    finally:
        remove_with_logs(building)
    finish_repair(path)
    logger.error(
        "outbox %s is damaged (%s): set aside; %d messages moved to a new one", path, why, saved
    )


def write_anew(db: sqlite3.Connection, path: Path) -> None:
    """Write all that an open file has, which somebody has removed, for ``finish_repair``.

    Raises:
        sqlite3.Error: The disk refuses it.
        OSError: The same.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path = followed(path)
    building = _beside(path, "building")
    remove_with_logs(building)
    try:
        db.execute("VACUUM INTO ?", (str(building),))
        building.replace(_beside(path, "repaired"))
    finally:
        remove_with_logs(building)


def finish_repair(path: Path) -> None:
    """Put a file that a repair has completed in its place, also after a crash in between.

    Raises:
        OSError: The disk refuses it; call it again before the file is opened.
    """
    path = followed(path)
    repaired = _beside(path, "repaired")
    if not repaired.exists():
        return
    if path.exists():
        aside = set_aside(path, most=1)
        logger.warning("the damaged outbox is kept as %s", aside.name)
    else:
        remove_with_logs(path)  # logs of a file that is set aside already
    repaired.replace(path)
    sync_folder(path.parent)


def _beside(path: Path, word: str) -> Path:
    return path.with_name(f"{path.stem}-{word}{path.suffix}")


def _salvage_running(damaged: Path, target: sqlite3.Connection) -> None:
    with contextlib.closing(sqlite3.connect(damaged)) as db:
        db.text_factory = bytes
        try:
            copy_running(db, target)
        except SQLITE_ERRORS as exc:
            if trouble_of(exc) in {"locked", "full"}:
                raise
            logger.warning("some alerts that a crash has interrupted get no end: %s", exc)


def _salvage(damaged: Path) -> Iterator[tuple[int, Message, bytes]]:
    """Yield the intact rows; after a damaged place, search for the next readable row."""
    query = "SELECT seq, crc, body FROM messages NOT INDEXED WHERE seq > ? ORDER BY seq"
    last, step = 0, 1
    with contextlib.closing(sqlite3.connect(damaged)) as db:
        db.text_factory = bytes
        while last < MAX_SEQ:
            try:
                for seq, crc, body in db.execute(query, (last,)):
                    if seq <= last:  # circular pages give rows for ever
                        raise sqlite3.DatabaseError("rows out of order")
                    last, step = seq, 1
                    if message := unpack(body, crc):
                        yield seq, message, body
            except SQLITE_ERRORS as exc:
                if trouble_of(exc) == "locked":
                    raise
                last, step = last + step, step + step // 4 + 1
            else:
                return
