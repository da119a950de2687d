"""Closes files, TCP ports and other processes to this process, by Landlock.

A kernel has version 1 or a later one, which can close more. What is closed is everything that the
kernel's version knows; what is open are the folders and files that are named, for reading.
"""

import ctypes
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from edge.system.sandbox.kernel import call

_CREATE: Final = 444  # the same number on all processors, also the next two
_ADD: Final = 445
_RESTRICT: Final = 446
_ASK_VERSION: Final = 1
_BELOW_A_PATH: Final = 1

_READ_FILE: Final = 1 << 2
_READ_FOLDER: Final = 1 << 3
# Ways to use files that each version has closed more of: up to making a link, moving between
# folders, truncating, commands to devices.
_FILES: Final = ((1, (1 << 13) - 1), (2, 1 << 13), (3, 1 << 14), (5, 1 << 15))
_PORTS: Final = 4  # version that can close TCP ports
_WAIT_AT_A_PORT: Final = 1 << 0  # connecting stays free: a camera may have any port
_OTHERS: Final = 6  # version that can close other processes
_ABSTRACT_SOCKETS, _SIGNALS = 1 << 0, 1 << 1

NEWER: Final = (
    (3, "truncating files"),
    (_PORTS, "TCP ports"),
    (5, "commands to devices"),
    (_OTHERS, "signals to other processes"),
)
"""What a version can close for the first time."""


class _Ruleset(ctypes.Structure):
    """The kernel's ``landlock_ruleset_attr``."""

    _fields_ = (
        ("files", ctypes.c_uint64),
        ("ports", ctypes.c_uint64),
        ("others", ctypes.c_uint64),
    )


class _PathRule(ctypes.Structure):
    """The kernel's ``landlock_path_beneath_attr``."""

    _pack_ = 1
    _fields_ = (("open", ctypes.c_uint64), ("path", ctypes.c_int32))


def version() -> int:
    """Return the kernel's version of Landlock.

    Raises:
        OSError: It has none, or a filter keeps it from us.
    """
    return call(_CREATE, 0, 0, _ASK_VERSION)


def close_all_but(readable: Iterable[Path], version: int) -> None:
    """Close to this thread, and all that it will start, everything but reading some paths.

    It cannot be undone. The process must have no new privileges.

    Args:
        readable: Folders, with all that is below them at any time, and files, each as long as it is
            not replaced by another. What is not there is passed over.
        version: The kernel's version.

    Raises:
        OSError: The kernel, or a filter, said no; nothing is closed then.
    """
    wanted = _Ruleset(
        sum(ways for since, ways in _FILES if version >= since),
        _WAIT_AT_A_PORT if version >= _PORTS else 0,
        _ABSTRACT_SOCKETS | _SIGNALS if version >= _OTHERS else 0,
    )
    known = 8 if version < _PORTS else 16 if version < _OTHERS else 24  # bytes of the structure
    ruleset = call(_CREATE, ctypes.byref(wanted), known, 0)
    try:
        for path in readable:
            _open_for_reading(ruleset, path)
        call(_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)


def _open_for_reading(ruleset: int, path: Path) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        folder = stat.S_ISDIR(os.fstat(place).st_mode)
        ways = _READ_FILE | _READ_FOLDER if folder else _READ_FILE
        call(_ADD, ruleset, _BELOW_A_PATH, ctypes.byref(_PathRule(ways, place)), 0)
    finally:
        os.close(place)
