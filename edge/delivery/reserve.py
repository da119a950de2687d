"""Keeps room in reserve for a full disk, and says how much room the disk has."""

import contextlib
import os
import time
from pathlib import Path
from typing import Final

# On a full disk SQLite cannot even delete, because its log must grow first.
RESERVE_BYTES: Final = 1024 * 1024
_RETRY_S: Final = 1.0


class Reserve:
    """File without content that is removed on a full disk, so that deletes still work.

    Attributes:
        error: Reason why there is none; None where there is one.
    """

    def __init__(self, path: Path) -> None:
        self.error: str | None = None
        self._path = path
        self._kept = False
        self._tried_at = -float("inf")

    def keep(self) -> None:
        """Create the file if it does not exist; on a full disk, try again at intervals."""
        now = time.monotonic()
        if self._kept or now < self._tried_at + _RETRY_S:
            return
        self._tried_at = now
        try:
            with self._path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
        except OSError as exc:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
            self.error = f"no room for the reserve {self._path}: {exc.strerror}"
        else:
            self._kept, self.error = True, None

    def release(self) -> None:
        with contextlib.suppress(OSError):  # then the next attempt fails as well, and says so
            self._path.unlink(missing_ok=True)
        self._kept = False
        self._tried_at = -float("inf")


def free_bytes(folder: Path) -> int | None:
    """Return the bytes that are free on the disk of a folder; None where that is not known."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize if disk.f_blocks else None
