"""Keeps in the outbox's file which alerts run, so that what a crash interrupts is ended.

A row changes in the transaction that stores the message about it: there is no moment at which a
start is stored and its alert unknown, or an end is stored and its alert still runs.
"""

import logging
import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final
from zlib import crc32

from pydantic import ValidationError

from edge.delivery.message import Message
from edge.delivery.payloads import AlertMessage, AlertPayload, alert_message
from edge.delivery.topics import Topics

logger = logging.getLogger(__name__)

RUNNING_TABLE: Final = (
    "CREATE TABLE running (id TEXT NOT NULL, topic TEXT NOT NULL, crc INTEGER NOT NULL,"
    " payload BLOB NOT NULL)"
)


def ended_by(messages: Iterable[Message]) -> set[str]:
    """Return the ids of the alerts that end by these messages."""
    return {
        message.alert.id
        for message in messages
        if isinstance(message, AlertMessage) and message.alert.type == "end"
    }


def note_running(db: sqlite3.Connection, messages: Iterable[Message], ended: set[str]) -> None:
    """Note the alerts that begin or go on by these messages, and those that have ended."""
    newest = {
        message.alert.id: (message.alert.id, message.topic, crc32(message.payload), message.payload)
        for message in messages
        if isinstance(message, AlertMessage) and message.alert.id not in ended
    }
    # Repairs wrote ids as bytes once, which are not equal to text.
    delete = "DELETE FROM running WHERE CAST(id AS TEXT) = ?"
    db.executemany(delete, [(alert,) for alert in {*ended, *newest}])
    db.executemany("INSERT INTO running VALUES (?, ?, ?, ?)", newest.values())


def copy_running(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Copy the rows of a damaged file, as far as they can be read."""
    rows = source.execute("SELECT id, topic, crc, payload FROM running")
    target.executemany("INSERT INTO running VALUES (CAST(? AS TEXT), CAST(? AS TEXT), ?, ?)", rows)


def ends_of_running(db: sqlite3.Connection, now: float) -> list[AlertMessage]:
    """Make the ends of all alerts that are noted, at ``now`` in UTC seconds."""
    rows = db.execute("SELECT id, topic, crc, payload FROM running ORDER BY id").fetchall()
    ends = [_end(*row, now=now) for row in rows]
    return [end for end in ends if end is not None]


def _end(
    id_: object, noted: object, crc: object, payload: object, *, now: float
) -> AlertMessage | None:
    """Make the end of a noted alert; None where the row is damaged, or of another version."""
    if not isinstance(payload, bytes) or crc32(payload) != crc:
        return None
    try:
        alert = AlertPayload.model_validate_json(payload)
    except ValidationError as exc:
        logger.warning("an alert of another version gets no end: %s", str(exc).partition("\n")[0])
        return None
    topic = noted.decode("utf-8", "replace") if isinstance(noted, bytes) else ""
    # The checksum covers the payload alone.
    levels = f"/{alert.device}/{alert.camera}/alert"
    if id_ != alert.id.encode() or not topic.endswith(levels) or not topic.isprintable():
        logger.warning("the alert %s gets no end: its row is damaged", alert.id)
        return None
    end = alert.model_copy(
        update={
            "type": "end",
            # A clock that has not been set yet must not end the alert before it began.
            "at": max(datetime.fromtimestamp(now, UTC), alert.at),
            "ended_at": alert.at,
            "snapshot": None,
            "boxes": None,
            "interrupted": True,
        }
    )
    return alert_message(Topics(topic.removesuffix(levels), end.device), end)
