"""Writes a small file as a whole: readers find the old content or the new one, never a part."""

import contextlib
import os
from pathlib import Path


def write_atomically(path: Path, data: bytes) -> None:
    """Replace the content of a file, or make the file and its folder.

    The data are on disk when this returns: the file and its folder are synchronised.

    Args:
        path: The file. The new content lies beside it, with ``.new`` added, until it is whole.
        data: Content.

    Raises:
        OSError: The disk refuses; the file is as it was, and nothing lies beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    try:
        with new.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
