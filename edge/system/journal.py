"""Logs to systemd's journal with fields, by its own protocol (systemd.io, JOURNAL_NATIVE_PROTOCOL).

``journalctl -u edge CAMERA=yard`` then finds what one camera had, ``ALERT=…`` what became of an
alert.
"""

import logging
import os
import socket
import sys
from typing import Final

_SOCKET: Final = "/run/systemd/journal/socket"
# By the level of logging: syslog's debug, info, warning, error, critical.
_PRIORITIES: Final = {10: 7, 20: 6, 30: 4, 40: 3, 50: 2}
FIELDS: Final = ("camera", "rule", "alert")
"""What a record may say of itself beside its text: ``extra={"camera": name}``."""
# More does not fit into a datagram for certain; a traceback this long repeats itself.
_MOST_CHARACTERS: Final = 32_768


def journal_is_stderr() -> bool:
    """Whether systemd has connected this process's stderr with its journal."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))


class JournalHandler(logging.Handler):
    """Sends each record as one entry. One that the journal does not take goes to stderr.

    Args:
        path: Socket of the journal.
    """

    def __init__(self, path: str = _SOCKET) -> None:
        super().__init__()
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)  # a journal that hangs holds nobody up

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        try:
            self._socket.sendto(entry(record, text), self._path)
        except OSError:
            sys.stderr.write(f"{record.levelname} {text}\n")

    def close(self) -> None:
        self._socket.close()
        super().close()


def entry(record: logging.LogRecord, text: str) -> bytes:
    """Return a record as an entry of the journal.

    Args:
        record: The record.
        text: The record's message, formatted.
    """
    fields = {
        "MESSAGE": text[:_MOST_CHARACTERS],
        "PRIORITY": str(_PRIORITIES.get(record.levelno, 6)),
        "SYSLOG_IDENTIFIER": "edge",
        "LOGGER": record.name,
    }
    for name in FIELDS:
        value = getattr(record, name, None)
        if value is not None:
            fields[name.upper()] = str(value)
    return b"".join(
        _field(name, value.encode("utf-8", "replace")) for name, value in fields.items()
    )


def _field(name: str, value: bytes) -> bytes:
    if b"\n" not in value:
        return b"%s=%s\n" % (name.encode(), value)
    return b"%s\n%s%s\n" % (name.encode(), len(value).to_bytes(8, "little"), value)
