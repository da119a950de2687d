"""Writes what a camera's process logs as records of the daemon's own log."""

import logging
from functools import cache
from pathlib import Path
from typing import Final

import edge
from edge.system.visible import printable
from edge.video.process.records import Logged

_ELSE: Final = "edge.video"
# Packages that a camera's process runs.
_PACKAGES: Final = ("video", "system")


def write(record: Logged, camera: str) -> None:
    """Write a record, which may hold anything, as the camera's."""
    name = record.name if record.name in _names() else _ELSE
    own = logging.getLogger(name)
    if not own.isEnabledFor(record.level):
        return
    text = printable(record.text)
    entry = own.makeRecord(name, record.level, "", 0, "%s", (text,), None, extra={"camera": camera})
    if record.trace is not None:
        entry.exc_text = "\n".join(map(printable, record.trace.splitlines()))
    own.handle(entry)


@cache
def _names() -> frozenset[str]:
    """Loggers that an honest process has; the daemon keeps each one that it was ever asked for."""
    home = Path(edge.__path__[0])
    modules = (path for package in _PACKAGES for path in (home / package).rglob("*.py"))
    return frozenset(
        ".".join(("edge", *path.relative_to(home).with_suffix("").parts)) for path in modules
    )
