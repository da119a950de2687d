"""Handles SQLite files of the device: detects damage, and renames a damaged file.

``KeptFile`` stores data that can be learned again. A damaged file or a failing disk loses these
data and stops nothing else. (The outbox has its own code, because it must not lose anything.)
"""

import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

logger = logging.getLogger(__name__)

_T = TypeVar("_T")


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the error means that the file itself is damaged."""
    return _code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def is_disk_full(error: sqlite3.DatabaseError) -> bool:
    return _code(error) == sqlite3.SQLITE_FULL


def _code(error: sqlite3.DatabaseError) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)  # absent in errors that Python raises
    return None if code is None else code & 0xFF  # the primary part of an extended code


def move_aside(path: Path, aside: Path) -> None:
    """Rename a database and its log files: a new database must not find an old log."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{suffix}").replace(f"{aside}{suffix}")


class KeptFile:
    """SQLite file with one table, opened anew for each action. Any thread may use it.

    Args:
        path: Path of the file. The file and its folder are created where they do not exist.
        table: SQL statement that creates the table.
        cost: What is lost when an action fails, in words for the log.
    """

    def __init__(self, path: Path, table: str, cost: str) -> None:
        self.path = path
        self._table = table
        self._cost = cost

    def do(self, action: Callable[[sqlite3.Connection], _T], otherwise: _T) -> _T:
        """Run ``action`` in one transaction and return its result; ``otherwise`` if it fails."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(sqlite3.connect(self.path)) as db, db:
                db.execute(self._table)
                return action(db)
        except sqlite3.DatabaseError as exc:
            if is_damage(exc):
                aside = self.path.with_suffix(f".corrupt-{time.time():.0f}.db")
                move_aside(self.path, aside)
                logger.warning("%s: %s; set aside as %s", self.path, exc, aside.name)
            else:
                logger.warning("%s: %s; %s", self.path, exc, self._cost)
        except OSError as exc:
            logger.warning("%s: %s; %s", self.path, exc, self._cost)
        return otherwise
