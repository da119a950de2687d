"""Writes the records of a daemon's log as lines with a time: for people, or as JSON."""

import json
import logging
from datetime import UTC, datetime
from typing import Final, Literal

from edge.system.journal import FIELDS

LogFormat = Literal["text", "json"]


class TextLines(logging.Formatter):
    """Lines such as ``2026-06-14T11:31:08.250+02:00 WARNING edge.app: …``, in local time."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatTime(  # noqa: N802  the name that the base class calls
        self,
        record: logging.LogRecord,
        datefmt: str | None = None,  # noqa: ARG002  the base class passes it
    ) -> str:
        """Return the time of a record with milliseconds and the distance to UTC."""
        local = datetime.fromtimestamp(record.created).astimezone()
        return local.isoformat(timespec="milliseconds")


class JsonLines(logging.Formatter):
    """One JSON object a line: ``at`` (UTC), ``level``, ``logger``, ``message``.

    ``camera``, ``rule`` and ``alert`` are there where the record has them, ``error`` where it has
    a traceback.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as a line."""
        at = datetime.fromtimestamp(record.created, UTC).replace(tzinfo=None)
        said = {
            "at": f"{at.isoformat(timespec='milliseconds')}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in FIELDS:
            if (value := getattr(record, name, None)) is not None:
                said[name] = str(value)
        if record.exc_text:  # written by the filter that masks secrets
            said["error"] = record.exc_text
        return json.dumps(said)


FORMATS: Final[dict[LogFormat, type[logging.Formatter]]] = {"text": TextLines, "json": JsonLines}
