"""Keeps what was desired over MQTT across restarts, in one JSON file."""

import contextlib
import logging
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from edge.control.desired.state import Desired
from edge.system.atomic_file import write_atomically

logger = logging.getLogger(__name__)

DESIRED = "desired.json"
"""Name of the file in the daemon's ``state_dir``."""


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
    """Keeps the desired state in a file that is replaced as a whole.

    A received state is written as pending before it is tried, and as accepted once it is in force.
    So a crash in between loses nothing, and the next start tries it again.

    Args:
        path: The file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> tuple[Desired, Desired | None]:
        """Read the accepted and the pending state. A damaged file is set aside and logged."""
        try:
            page = _Page.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return Desired(), None
        except (OSError, ValidationError) as exc:
            aside = self._path.with_suffix(".damaged.json")
            logger.error(  # noqa: TRY400  expected: no traceback
                "%s cannot be read (%s): set aside as %s; the rules are those of the configuration",
                self._path, str(exc).partition("\n")[0], aside.name,
            )  # fmt: skip
            with contextlib.suppress(OSError):
                self._path.replace(aside)
            return Desired(), None
        return page.accepted, page.pending

    def save(self, accepted: Desired, pending: Desired | None = None) -> None:
        """Write both states.

        Raises:
            OSError: The disk is in trouble; the file is as it was.
        """
        page = _Page(schema_="edge-desired/1", accepted=accepted, pending=pending)
        text = page.model_dump_json(by_alias=True, exclude_unset=True, indent=2)
        write_atomically(self._path, text.encode())

    def keep(self, accepted: Desired, pending: Desired | None = None) -> None:
        """Write both states as ``save`` does, and log where the disk is in trouble."""
        try:
            self.save(accepted, pending)
        except OSError as exc:
            logger.error("the rules set over MQTT are lost at the next start: %s", exc)  # noqa: TRY400  expected: no traceback
