"""Names what is wrong with a file of the device. Each of the five kinds asks for something else.

``locked`` ends by itself, ``full`` when there is room; ``failing`` is the disk or a permission,
``newer`` another version's file, and only ``damaged`` means that the content is lost.
"""

import errno
import json
import sqlite3
from pathlib import Path
from typing import Final, Literal

from edge.errors import SideFileError

Trouble = Literal["locked", "failing", "full", "newer", "damaged"]

ADVICE: Final[dict[Trouble, str]] = {
    "locked": "another process holds it: it is tried again",
    "failing": "check the disk and the permissions: it is tried again",
    "full": "make room on the disk: it is tried again",
    "newer": "start the version that wrote it, or move the file away",
    "damaged": "it is set aside",
}

SQLITE_ERRORS: Final = (sqlite3.Error, UnicodeDecodeError)
"""Errors of ``sqlite3``. Its words about a damaged page quote the page, which may be no UTF-8."""

# The two bytes of an SQLite file's header that say by whom it can be written and read.
_FORMATS: Final = slice(18, 20)
_HIGHEST_VERSION: Final = 1000

# SQLITE_ERROR is among them because the statements are right: the schema that they meet is not.
_SQLITE: Final[dict[int, Trouble]] = {
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_CORRUPT: "damaged",
    sqlite3.SQLITE_NOTADB: "damaged",
    sqlite3.SQLITE_FORMAT: "damaged",
    sqlite3.SQLITE_ERROR: "damaged",
}


def trouble_of(error: Exception) -> Trouble:
    """Return the kind of trouble that one of ``SQLITE_ERRORS``, or an OSError, stands for."""
    if isinstance(error, OSError):
        return "full" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "failing"
    if isinstance(error, UnicodeDecodeError):
        return "damaged"
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return _SQLITE.get(code & 0xFF, "failing")  # the primary part of an extended code
    # Python itself finds text that is not UTF-8, and has no code for it.
    return "damaged" if isinstance(error, sqlite3.OperationalError) else "failing"


def words_of(error: BaseException) -> str:
    """Return the words of an error for a message that names the file already.

    An OSError's own text begins with a number, and ends with the path once more.
    """
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def in_trouble(
    path: Path, error: Exception, trouble: Trouble | None = None, meanwhile: str = ""
) -> SideFileError:
    """Make the error of a side file that cannot be read or written now.

    Args:
        path: The file.
        error: One of ``SQLITE_ERRORS``, or an OSError.
        trouble: Kind of the trouble, where it is not the one that the error stands for.
        meanwhile: What happens without the file, as a part of a sentence.
    """
    trouble = trouble or trouble_of(error)
    parts = (words_of(error), meanwhile, ADVICE[trouble])
    return SideFileError(f"{path}: {'; '.join(part for part in parts if part)}", trouble)


def is_there(path: Path) -> bool:
    """Whether there is a file, or a link to one that is away, such as one on an unmounted disk.

    What cannot be looked at is there.
    """
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def read_if_there(path: Path) -> bytes | None:
    """Return the content of a file; None where there is none.

    Raises:
        OSError: It cannot be read now, or is a link to a file that is away.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        if is_there(path):
            raise
        return None


def is_version(number: int) -> bool:
    """Whether a file can have this version; a higher number is damage, and no newer version."""
    return 0 <= number <= _HIGHEST_VERSION


def header_is_damaged(path: Path) -> bool:
    """Whether the header of an SQLite file names formats that do not exist.

    SQLite takes such a file for one of its own future, and refuses to write it.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_FORMATS.stop)
    except OSError:
        return False
    return len(header) == _FORMATS.stop and not {1, 2}.issuperset(header[_FORMATS])


def trouble_of_json(content: bytes, key: str, schema: str) -> Trouble:
    """Return whether JSON that does not fit is of a newer version, or damaged.

    Args:
        content: Content of the file.
        key: Key of the schema's name.
        schema: Name of the present schema, such as ``edge-desired/1``.
    """
    try:
        found = json.loads(content)[key]
        (name, number), (own, version) = found.split("/"), schema.split("/")
        newer = name == own and int(number) > int(version)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "damaged"
    return "newer" if newer else "damaged"
