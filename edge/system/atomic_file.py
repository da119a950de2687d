"""Writes a small file as a whole: readers find the old content or the new one, never a part."""

import contextlib
import os
import secrets
from pathlib import Path


def write_atomically(path: Path, *parts: bytes, mode: int | None = None) -> None:
    """Replace the content of a file, or make the file and its folder.

    The data are on disk when this returns: the file and its folder are synchronised. Several
    processes may write the same file: the last one wins.

    Args:
        path: The file. The new content lies beside it, with a random word and ``.new`` added, until
            it is whole.
        parts: Content, in order.
        mode: Permission bits of the file; None: read and write for all whom the umask lets.

    Raises:
        OSError: The disk refuses; the file is as it was, and nothing lies beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(new, flags, 0o666 if mode is None else mode), "wb") as file:
            if mode is not None:  # whatever the umask takes away
                os.fchmod(file.fileno(), mode)
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        with contextlib.suppress(OSError):  # it is not there any more where all went well
            new.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
