"""Keeps what was desired over MQTT across restarts, in one JSON file.

A file that could not be read is not written: what it has would be lost.
"""

import logging
import threading
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from edge.control.desired.state import Desired
from edge.errors import SideFileError
from edge.system.atomic_file import write_atomically
from edge.system.set_aside import set_aside
from edge.system.trouble import (
    ADVICE,
    Trouble,
    in_trouble,
    read_if_there,
    trouble_of,
    trouble_of_json,
)

logger = logging.getLogger(__name__)

DESIRED = "desired.json"
"""Name of the file in the daemon's ``state_dir``."""

_SCHEMA: Final = "edge-desired/1"


class _Page(BaseModel):
    """Content of the file.

    Attributes:
        accepted: Desired state in force.
        pending: Desired state to be tried; None where there is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    schema_: Literal["edge-desired/1"]
    accepted: Desired
    pending: Desired | None = None


class DesiredFile:
    """Keeps the desired state in a file that is replaced as a whole. Any thread may use it.

    A received state is written as pending before it is tried, and as accepted once it is in force.
    So a crash in between loses nothing, and the next start tries it again. A state that could not
    be written is written by the next ``flush``.

    Args:
        path: The file; it need not exist.

    Attributes:
        name: Name of the file.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._unread: SideFileError | None = None
        self._path = path
        self._lock = threading.Lock()
        self._unwritten: _Page | None = None
        self._old_is_more = False

    def load(self) -> tuple[Desired, Desired | None]:
        """Read the accepted and the pending state; empty ones where there are none.

        A damaged file is set aside and logged. Where the file cannot be read, ``unread`` says why.
        """
        self._unread = None
        try:
            content = read_if_there(self._path)
        except OSError as exc:
            return self._not_read(str(exc), trouble_of(exc))
        if content is None:
            return Desired(), None
        try:
            page = _Page.model_validate_json(content)
        except ValidationError as exc:
            reason = str(exc).partition("\n")[0]
            trouble = trouble_of_json(content, "schema_", _SCHEMA)
            if trouble == "newer":
                return self._not_read(reason, trouble)
            try:
                aside = set_aside(self._path)
            except OSError as failure:
                return self._not_read(str(failure), trouble_of(failure))
            logger.error(  # noqa: TRY400  expected: no traceback
                "%s cannot be read (%s): set aside as %s; the rules are those of the configuration",
                self._path, reason, aside.name,
            )  # fmt: skip
            return Desired(), None
        return page.accepted, page.pending

    def look(self) -> Desired:
        """Read the accepted state, and change nothing.

        Raises:
            SideFileError: It cannot be read now, is of a newer version, or damaged.
        """
        try:
            content = read_if_there(self._path)
        except OSError as exc:
            raise in_trouble(self._path, exc) from exc
        if content is None:
            return Desired()
        try:
            return _Page.model_validate_json(content).accepted
        except ValidationError as exc:
            trouble = trouble_of_json(content, "schema_", _SCHEMA)
            reason = str(exc).partition("\n")[0]
            raise SideFileError(f"{self._path}: {reason}; {ADVICE[trouble]}", trouble) from exc

    def unread(self) -> SideFileError | None:
        """Return why ``load`` could not read the file; None where it could, or there is none."""
        return self._unread

    def save(self, accepted: Desired, pending: Desired | None = None) -> None:
        """Write both states.

        Raises:
            OSError: The disk is in trouble; the file is as it was.
            SideFileError: The file could not be read, and is not overwritten.
        """
        with self._lock:
            self._unwritten = _Page(schema_="edge-desired/1", accepted=accepted, pending=pending)
            self._write(self._unwritten)

    def keep(self, accepted: Desired, pending: Desired | None = None) -> None:
        """Write both states as ``save`` does; where the disk is in trouble, ``flush`` does it."""
        try:
            self.save(accepted, pending)
        except OSError as exc:
            logger.error("the rules set over MQTT are lost at the next start: %s", exc)  # noqa: TRY400  expected: no traceback

    def keep_old(self) -> None:
        """Have a copy of the file set aside before it is written: not all of it is in use."""
        self._old_is_more = True

    def flush(self) -> None:
        """Write what could not be written.

        Raises:
            SideFileError: It cannot be written now, or the file could not be read at the start.
        """
        with self._lock:
            if self._unread is not None:
                raise self._unread
            if self._unwritten is None:
                return
            try:
                self._write(self._unwritten)
            except OSError as exc:
                raise in_trouble(self._path, exc) from exc

    def _write(self, page: _Page) -> None:
        if self._unread is not None:
            raise self._unread
        if self._old_is_more:
            set_aside(self._path, copy=True, word="old")
            self._old_is_more = False
        text = page.model_dump_json(by_alias=True, exclude_unset=True, indent=2)
        write_atomically(self._path, text.encode())
        self._unwritten = None

    def _not_read(self, reason: str, trouble: Trouble) -> tuple[Desired, None]:
        advice = ADVICE["newer"] if trouble == "newer" else "check the disk and the permissions"
        self._unread = SideFileError(
            f"{self._path} cannot be read ({reason}), and is left as it is: {advice}; until the"
            " next command that finds it readable, the rules are those of the configuration",
            trouble,
        )
        logger.error("%s", self._unread)
        return Desired(), None
