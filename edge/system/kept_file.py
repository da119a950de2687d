"""Keeps what the device can do without in an SQLite file: a side file.

A side file costs only itself. A damaged one is set aside and begun anew; one that is locked,
failing, full or of a newer version raises, and is neither read as empty nor written.
"""

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

from edge.errors import SideFileError
from edge.system.set_aside import set_aside
from edge.system.trouble import (
    ADVICE,
    SQLITE_ERRORS,
    header_is_damaged,
    in_trouble,
    is_there,
    is_version,
    trouble_of,
)

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

# Longest wait for another process that holds the file. Whoever cannot wait asks a keeper.
BUSY_S: Final = 0.5


class _NotOurs(sqlite3.OperationalError):
    """The file has other tables or an impossible version: it counts as damaged."""


class KeptFile:
    """SQLite file with one table, opened anew for each action. Any thread may use it.

    Args:
        path: Path of the file. The file and its folder are created where they do not exist.
        table: SQL statement that creates the table.
        version: Version of the table's content; a file of a higher one is left alone.
        busy_s: Longest wait for another process that holds the file, seconds.
    """

    def __init__(self, path: Path, table: str, *, version: int = 1, busy_s: float = BUSY_S) -> None:
        self.path = path
        self._table = table
        self._version = version
        self._busy_s = busy_s
        self._lock = threading.Lock()

    def read(self, action: Callable[[sqlite3.Connection], _T], empty: _T) -> _T:
        """Run ``action``, which reads; return ``empty`` where there is no file. Else as ``do``."""
        return self.do(action) if is_there(self.path) else empty

    def do(self, action: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run ``action`` in one transaction and return its result.

        Where the file is damaged, it is set aside, and the action runs on a new one.

        Raises:
            SideFileError: The file is locked, failing, full, or was written by a newer version.
                Nothing was changed.
        """
        with self._lock:
            try:
                try:
                    return self._transact(action)
                except SQLITE_ERRORS as exc:
                    if trouble_of(exc) != "damaged" and not header_is_damaged(self.path):
                        raise
                    logger.error(  # noqa: TRY400  expected: no traceback
                        "%s is damaged (%s): set aside as %s, and begun anew",
                        self.path, exc, set_aside(self.path).name,
                    )  # fmt: skip
                return self._transact(action)
            except (OSError, *SQLITE_ERRORS) as exc:
                raise in_trouble(self.path, exc) from exc

    def keep_copy(self) -> None:
        """Set a copy of the file aside, because some of it cannot be read and will be replaced.

        Raises:
            SideFileError: There is no room for the copy, or the disk fails.
        """
        with self._lock:
            try:
                aside = set_aside(self.path, copy=True)
            except OSError as exc:
                raise in_trouble(self.path, exc) from exc
            logger.warning("%s: some of it cannot be read; a copy is %s", self.path, aside.name)

    def _transact(self, action: Callable[[sqlite3.Connection], _T]) -> _T:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=self._busy_s, isolation_level=None)
        with contextlib.closing(connection) as db, db:
            db.execute("BEGIN")
            self._make_or_check(db)
            return action(db)

    def _make_or_check(self, db: sqlite3.Connection) -> None:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if not is_version(version):
            raise _NotOurs(f"its version is {version}")
        if version > self._version:
            raise _newer(self.path, version, self._version)
        tables = [sql for (sql,) in db.execute("SELECT sql FROM sqlite_schema WHERE type='table'")]
        if not tables:
            db.execute(self._table)
            db.execute(f"PRAGMA user_version={self._version}")
        elif tables != [self._table]:
            raise _NotOurs("its tables are another program's")


def check_file(path: Path, version: int = 1) -> None:
    """Look whether a side file can be used, and change nothing; one that does not exist can.

    Raises:
        SideFileError: It cannot: it is locked, failing, damaged, or of a version above ``version``.
    """
    if not is_there(path):
        return
    try:
        address = f"file:{quote(str(path))}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, timeout=BUSY_S, uri=True)) as db:
            (found,) = db.execute("PRAGMA user_version").fetchone()
            db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except SQLITE_ERRORS as exc:
        trouble = "damaged" if header_is_damaged(path) else trouble_of(exc)
        raise in_trouble(path, exc, trouble) from exc
    if is_version(found) and found > version:
        raise _newer(path, found, version)


def _newer(path: Path, found: int, version: int) -> SideFileError:
    return SideFileError(
        f"{path} was written by a newer version (format {found}, this one knows up to {version}):"
        f" {ADVICE['newer']}",
        "newer",
    )
