"""Writes a small file as a whole: readers find the old or the new content, never a part.

Whoever replaces a file by another one would replace a symbolic link to it instead, and what the
link leads to would be left behind: so each such place follows the link first.
"""

import contextlib
import os
import secrets
from pathlib import Path


def write_atomically(path: Path, *parts: bytes, mode: int | None = None) -> None:
    """Replace the content of a file; create the file and its folder where they do not exist.

    No folder is made behind a link: a disk that is not mounted is no place to write to.

    The data are on disk when this returns: both the file and its folder are synchronised. Several
    processes may write the same file: the last one wins.

    Args:
        path: Path of the file, or of a link to it. The new content is first written to a file
            beside the file itself, whose name has a random word and ``.new`` added.
        parts: New content, in order.
        mode: Permission bits of the file; None: read and write for everyone, less the umask.

    Raises:
        OSError: The disk refuses the write. The file is unchanged, without a ``.new`` file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path = followed(path)
    new = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(new, flags, 0o666 if mode is None else mode), "wb") as file:
            if mode is not None:  # independent of the umask
                os.fchmod(file.fileno(), mode)
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        with contextlib.suppress(OSError):  # it is not there any more where all went well
            new.unlink()
    sync_folder(path.parent)


def followed(path: Path) -> Path:
    """Return the file that a path leads to, through symbolic links; it need not exist yet."""
    return Path(os.path.realpath(path))


def sync_folder(path: Path) -> None:
    """Have the names in a folder written to the disk.

    Raises:
        OSError: The disk refuses it.
    """
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
