"""Copies the outbox for a backup while the daemon runs, which holds the file for itself alone."""

import contextlib
from pathlib import Path
from typing import Final

from edge.delivery.outbox import Outbox
from edge.errors import OutboxError, SideFileError
from edge.system.trouble import ADVICE, SQLITE_ERRORS, is_there, trouble_of

WANTED: Final = "outbox-copy.wanted"
"""Name of the file in the state folder by which a backup asks for a copy; it goes when one is made,
or cannot be made."""

COPY: Final = "outbox-copy.db"
"""Name of the copy, which the backup takes and removes."""


class OutboxCopy:
    """Makes a copy each time that one is wanted; a side file, so that no alert waits for it.

    Args:
        outbox: The outbox.
        folder: State folder of the daemon.
    """

    name: Final = COPY

    def __init__(self, outbox: Outbox, folder: Path) -> None:
        self._outbox = outbox
        self._folder = folder

    def flush(self) -> None:
        """Make the copy that is wanted.

        Raises:
            SideFileError: It cannot be made; it is asked for again where it is still wanted.
        """
        wanted, copy = self._folder / WANTED, self._folder / COPY
        if not is_there(wanted):
            return
        building = copy.with_suffix(".new")
        try:
            building.unlink(missing_ok=True)
            self._outbox.copy_to(building)
            building.replace(copy)
        except (OSError, OutboxError, *SQLITE_ERRORS) as exc:
            trouble = trouble_of(exc)
            raise SideFileError(f"{copy}: {exc}; {ADVICE[trouble]}", trouble) from exc
        finally:
            for path in (building, wanted):
                with contextlib.suppress(OSError):
                    path.unlink()
