"""What all SQLite files of the device have in common: telling damage, and setting a file aside.

``KeptFile`` is for what can be learned again. A file that is damaged, or a disk in trouble, costs
what would have been kept, and stops nobody. (The outbox must not lose anything.)
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
    """Whether SQLite found the file itself broken."""
    return _code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def is_disk_full(error: sqlite3.DatabaseError) -> bool:
    return _code(error) == sqlite3.SQLITE_FULL


def _code(error: sqlite3.DatabaseError) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)  # absent where Python itself raised
    return None if code is None else code & 0xFF  # the primary code of an extended one


def move_aside(path: Path, aside: Path) -> None:
    """Rename a database with the files that belong to it: a new one must not find an old log."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{suffix}").replace(f"{aside}{suffix}")


class KeptFile:
    """One table, opened for each action. May be used from any thread.

    Args:
        path: Made, with its folder, where there is none.
        table: The statement that makes the table.
        cost: For the log: what is lost where an action fails.
    """

    def __init__(self, path: Path, table: str, cost: str) -> None:
        self.path = path
        self._table = table
        self._cost = cost

    def do(self, action: Callable[[sqlite3.Connection], _T], otherwise: _T) -> _T:
        """Do ``action`` in one transaction; ``otherwise`` is what comes back where it fails."""
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
