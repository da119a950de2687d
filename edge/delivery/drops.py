"""Drops messages of the outbox for want of room, and counts those that are lost."""

import logging
import sqlite3
import time
from typing import Final

from edge.delivery.outbox_file import KINDS, delete

logger = logging.getLogger(__name__)

_REPORT_S: Final = 60.0


class Drops:
    """What is dropped undelivered; its methods are called within a transaction."""

    def __init__(self) -> None:
        self._reported_at = -float("inf")

    def evict(self, db: sqlite3.Connection, excess: int, *, down_to: int) -> None:
        """Drop the oldest messages of the least important kind until ``excess`` bytes are free."""
        query = "SELECT seq, size FROM messages WHERE kind = ? ORDER BY seq"
        for kind in range(len(KINDS) - 1, down_to - 1, -1):
            gone = []
            for seq, size in db.execute(query, (kind,)):
                if excess <= 0:
                    break
                gone.append(seq)
                excess -= size
            delete(db, gone)
            self.count(db, kind, len(gone))

    def count(self, db: sqlite3.Connection, kind: int, number: int) -> None:
        """Count messages of one kind as dropped, in the file; log it now and then."""
        if not number:
            return
        db.execute("UPDATE totals SET dropped = dropped + ? WHERE kind = ?", (number, kind))
        now = time.monotonic()
        if now >= self._reported_at + _REPORT_S:
            self._reported_at = now
            logger.warning(
                "outbox drops messages: %d of kind %s now; the device's state counts them all",
                number, KINDS[kind],
            )  # fmt: skip
