"""Writes what a camera's process logs as records of the daemon's own log."""

import logging

from edge.system.visible import printable
from edge.video.process.records import Logged


def write(record: Logged, camera: str) -> None:
    """Write a record, which may hold anything, as the camera's."""
    own = logging.getLogger(record.name)
    if not own.isEnabledFor(record.level):
        return
    text = printable(record.text)
    entry = own.makeRecord(
        record.name, record.level, "", 0, "%s", (text,), None, extra={"camera": camera}
    )
    if record.trace is not None:
        entry.exc_text = "\n".join(map(printable, record.trace.splitlines()))
    own.handle(entry)
