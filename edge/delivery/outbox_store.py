"""Holds the connection to the outbox's file, and heals it: repairs, makes room, opens it anew."""

import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from edge.delivery.outbox_file import Damaged, is_damage, open_file
from edge.delivery.outbox_repair import finish_repair, repair_file, write_anew
from edge.delivery.reserve import RESERVE_BYTES, Reserve, free_bytes
from edge.errors import OutboxError, StruckOut
from edge.system.atomic_file import followed
from edge.system.attempts import NOT_NOTED, Attempts
from edge.system.set_aside import set_aside
from edge.system.trouble import SQLITE_ERRORS, trouble_of, words_of

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

# Shortest time between two attempts to open a file that could not be opened.
_RETRY_S: Final = 1.0


class OutboxStore:
    """Connection to the outbox's file, which any failure may close and the next action opens.

    Not thread-safe: the outbox has the lock.

    Args:
        path: The file, or a link to it; it and its folder are created where they do not exist.
        on_open: Called with the newest number in the file, each time that it was opened.
        attempts: Notes the file while it is opened, or repaired.

    Attributes:
        reserve: Room for a full disk.
        damaged: Number of times that the file was replaced.
        error: Why nothing can be written now; None where it can, as far as is known.

    Raises:
        OutboxError: The file cannot be opened, and that is not for want of room.
    """

    def __init__(
        self, path: Path, on_open: Callable[[int], None], attempts: Attempts = NOT_NOTED
    ) -> None:
        file = followed(path)
        self.reserve = Reserve(file.with_suffix(".reserve"))
        self._folder = file.parent
        self.damaged = 0
        self.error: OutboxError | None = None
        self._path = path
        self._attempts = attempts
        self._on_open = on_open
        self._db: sqlite3.Connection | None = None
        self._damage: str | None = None  # what must be repaired before the file is opened
        self._retry_at = -float("inf")
        try:
            self._opened()
        except (OSError, *SQLITE_ERRORS, Damaged) as exc:
            failure = self._failed(exc)
            if not self._is_full(exc):
                raise failure from exc
            logger.error("%s; alerts go out from memory until there is room", failure)  # noqa: TRY400  expected: no traceback
        else:
            self.reserve.keep()

    def run(
        self,
        action: Callable[[sqlite3.Connection], _T],
        room: Callable[[sqlite3.Connection], None] | None = None,
        *,
        writes: bool = True,
    ) -> _T:
        """Run ``action``; on a damaged file or a full disk, repair that and try once more.

        Args:
            action: The action; it must be able to run twice.
            room: Makes room in the file for the second attempt on a full disk.
            writes: Whether the action proves that the file can be written.

        Raises:
            OutboxError: It failed; a later call begins anew.
        """
        if self._db is None and self.error is not None and time.monotonic() < self._retry_at:
            raise self.error
        try:
            db = self._opened()
            try:
                result = action(db)
            except SQLITE_ERRORS as exc:
                self._mend(db, exc, room)
                result = action(self._opened())
        except (OSError, *SQLITE_ERRORS, Damaged) as exc:
            failure = self._failed(exc)
            raise failure from exc
        if writes:
            self.error = None
        return result

    def full(self) -> str | None:
        """Return in words why there is no room on the disk; None where there is."""
        free = free_bytes(self._folder)
        if free is not None and free < RESERVE_BYTES:
            return f"{self._folder}: the disk is full ({free} bytes are free)"
        return self.reserve.error

    def close(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def _opened(self) -> sqlite3.Connection:
        """Return the connection; first open the file, and repair it, where that must be done."""
        if self._db is not None:
            if self._path.exists():
                return self._db
            # SQLite would go on in a file that no start finds.
            write_anew(self._db, self._path)
            self.close()
            self.reserve.release()
            logger.error("outbox %s has been removed: it is written anew", self._path)
        finish_repair(self._path)
        try:
            db = self._tried()
        except StruckOut as exc:
            aside = set_aside(self._path, most=1)
            logger.error(  # noqa: TRY400  expected: no traceback
                "%s: kept as %s with its messages; a new outbox begins", exc, aside
            )
            self._damage = None
            self.damaged += 1
            db = self._tried()
        self._db = db
        (newest,) = db.execute("SELECT coalesce(max(seq), 0) FROM messages").fetchone()
        self._on_open(newest)
        return db

    def _tried(self) -> sqlite3.Connection:
        """Open the file, or repair and open it, unless the process has ended over that twice."""
        with self._attempts.trying("the outbox", _file_of(self._path), "put the file back"):
            if self._damage is None:
                try:
                    return open_file(self._path)
                except Damaged as exc:
                    self._damage = str(exc)
            self.reserve.release()  # the repair needs room
            repair_file(self._path, str(self._damage))
            self._damage = None
            self.damaged += 1
            return open_file(self._path)

    def _mend(
        self,
        db: sqlite3.Connection,
        error: Exception,
        room: Callable[[sqlite3.Connection], None] | None,
    ) -> None:
        """Make room on a full disk, or close a damaged file for its repair.

        Making room may be what meets the damage. Raises an error that neither of them mends.
        """
        if trouble_of(error) == "full":
            self.reserve.release()
            try:
                _shorten_log(db)
                if room:
                    room(db)
                    _shorten_log(db)
            except SQLITE_ERRORS as exc:
                error = exc
            else:
                return
        if not is_damage(error):
            raise error
        self.close()
        self._damage = str(error)

    def _failed(self, exc: Exception) -> OutboxError:
        """Note a failure. Nothing relies on a connection that has seen the disk fail."""
        trouble = trouble_of(exc)
        if trouble != "full":
            self.close()
        self._retry_at = time.monotonic() + _RETRY_S
        hint = "check that the disk has room and that the directory may be written"
        if trouble == "locked":
            hint = "another process uses it: stop that one, or set another state_dir"
        self.error = OutboxError(f"outbox {self._path}: {words_of(exc)}; {hint}")
        return self.error

    def _is_full(self, exc: Exception) -> bool:
        """Whether an error means that the disk is full, as some say it in other words."""
        return trouble_of(exc) == "full" or free_bytes(self._folder) == 0


def _file_of(path: Path) -> str:
    """Return what tells a file from the one that takes its place."""
    try:
        facts = path.stat()
    except OSError:
        return "new"
    return f"{facts.st_dev} {facts.st_ino}"


def _shorten_log(db: sqlite3.Connection) -> None:
    try:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except SQLITE_ERRORS as exc:  # the disk is too full for this as well
        if is_damage(exc):
            raise
