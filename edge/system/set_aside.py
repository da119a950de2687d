"""Sets damaged files aside under a name of their own, and keeps the newest few of them."""

import contextlib
import shutil
from pathlib import Path
from typing import Final

from edge.system.atomic_file import followed

KEPT: Final = 3
"""Number of files that are kept aside of each file."""

# A new database must not find the logs of an old one. Where the file itself is gone already, SQLite
# removes the logs that it finds.
_WITH: Final = ("", "-wal", "-shm", "-journal")


def set_aside(path: Path, *, copy: bool = False, most: int = KEPT, word: str = "corrupt") -> Path:
    """Rename a file and its logs to ``<stem>-<word>-<number>``, and return the new path.

    The numbers go on, whatever the clock says. Older files aside are removed, so that a disk that
    damages files again and again does not fill up with them.

    Args:
        path: Path of the file, or of a link to it; the link stays.
        copy: Leave the file in place, and set a copy aside.
        most: Number of files aside to keep.
        word: Word for why the file is set aside.

    Raises:
        OSError: The disk refuses it. The file itself is in place.
    """
    path = followed(path)
    older = _aside(path, word)
    number = older[-1][0] + 1 if older else 1
    aside = path.with_name(f"{path.stem}-{word}-{number}{path.suffix}")
    # Before the new one: the room may be needed.
    remove_aside(path, most=most - 1, word=word)
    for suffix in _WITH:
        with contextlib.suppress(FileNotFoundError):
            source, target = Path(f"{path}{suffix}"), Path(f"{aside}{suffix}")
            if copy:
                shutil.copy2(source, target)
            else:
                source.replace(target)
    return aside


def remove_aside(path: Path, *, most: int = 0, word: str = "corrupt") -> None:
    """Remove the files aside of ``path``, except the newest ``most``."""
    older = _aside(followed(path), word)
    for _, old in older[: max(0, len(older) - most)]:
        remove_with_logs(old)


def remove_with_logs(path: Path) -> None:
    """Remove a file and its logs, where they exist; a link to it stays."""
    path = followed(path)
    for suffix in _WITH:
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def _aside(path: Path, word: str) -> list[tuple[int, Path]]:
    """Return the files aside of ``path`` with their numbers, oldest first."""
    begin = f"{path.stem}-{word}-"
    found = []
    for other in path.parent.glob(f"{begin}*{path.suffix}"):
        number = other.name.removeprefix(begin).removesuffix(path.suffix)
        # A name with a time in it, as an earlier version gave it, is older than any number.
        found.append((int(number) if number.isdecimal() else 0, other))
    return sorted(found)
