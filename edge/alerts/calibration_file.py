"""Keeps what calibrations and views learned across restarts, in one SQLite file.

The file is read once, as a whole; from then on its content is in memory too. The keeper writes it,
so that no alert waits for the disk. A file that could not be read yet is not written: what it has
comes back as soon as it can be read, in place of the little that was learned meanwhile.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from edge.errors import SideFileError
from edge.system.kept_file import KeptFile

logger = logging.getLogger(__name__)

VERSION: Final = 1
"""Version of the entries. Raise it when a tail's meaning changes: older entries are then
ignored, and older versions leave the file alone."""

_TABLE: Final = (
    "CREATE TABLE learned (camera TEXT, rule TEXT, regime TEXT, key TEXT, data BLOB,"
    " saved_at REAL, PRIMARY KEY (camera, rule, regime))"
)
_TYPES: Final = [str, str, str, str, bytes]
Place = tuple[str, str, str]  # camera, rule, regime
Entry = tuple[str, bytes]  # key, data


class CalibrationFile:
    """File of tails and views, with its content in memory.

    Args:
        path: Path of the file, which is made where there is none.

    Attributes:
        name: Name of the file.
        ready: Whether the file was read. Until then nothing is saved.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.ready = False
        self._file = KeptFile(path, _TABLE, version=VERSION)
        self._lock = threading.Lock()
        self._entries: dict[Place, Entry] = {}
        self._unwritten: set[Place] = set()
        self._spoiled = False  # whether an entry was damaged, of which the only copy is on disk
        try:
            self.flush()
        except SideFileError as exc:
            logger.warning("%s; what was learned comes back once it can be read", exc)

    def get(self, camera: str, rule: str, regime: str, key: str) -> bytes | None:
        """Return the data of an entry; None where there is none under this key."""
        with self._lock:
            found, data = self._entries.get((camera, rule, regime), ("", b""))
        return data if found == key else None

    def regimes(self, camera: str, rule: str) -> list[str]:
        """Return the regimes of which there are entries of this camera and rule."""
        with self._lock:
            return [place[2] for place in self._entries if place[:2] == (camera, rule)]

    def save(self, rows: Mapping[Place, Entry]) -> None:
        """Replace entries; the next ``flush`` writes them."""
        with self._lock:
            if self.ready:
                self._entries.update(rows)
                self._unwritten.update(rows)

    def spoiled(self) -> None:
        """Say that an entry cannot be read: the file is copied before it is written again."""
        self._spoiled = True

    def flush(self) -> None:
        """Read the file where that was not possible yet; write what was saved.

        Raises:
            SideFileError: It cannot be done now.
        """
        if not self.ready:
            query = "SELECT camera, rule, regime, key, data FROM learned"
            rows: list[tuple[Any, ...]] = self._file.read(
                lambda db: db.execute(query).fetchall(), []
            )
            sound = [row for row in rows if [type(value) for value in row] == _TYPES]
            self._spoiled = len(sound) < len(rows)
            with self._lock:
                self._entries = {tuple(row[:3]): (row[3], row[4]) for row in sound}
                self.ready = True
        with self._lock:
            places, self._unwritten = self._unwritten, set()
            entries = self._entries.copy()
        if not places:
            return
        now = time.time()

        def write(db: sqlite3.Connection) -> None:
            # A file that was lost or set aside meanwhile gets all that is in memory.
            (count,) = db.execute("SELECT count(*) FROM learned").fetchone()
            stamped = [(*place, *entries[place], now) for place in (places if count else entries)]
            db.executemany("REPLACE INTO learned VALUES (?, ?, ?, ?, ?, ?)", stamped)

        try:
            if self._spoiled:
                self._file.keep_copy()
                self._spoiled = False
            self._file.do(write)
        except SideFileError:
            with self._lock:
                self._unwritten |= places
            raise
