"""Finds out who holds a file: the process that has locked it, the user that it belongs to."""

from pathlib import Path
from typing import Final

_LOCKS: Final = Path("/proc/locks")


def holder(path: Path, locks: Path = _LOCKS) -> str:
    """Return in words the process that has locked a file, as far as Linux tells it."""
    pid = holding_process(path, locks)
    return "another process" if pid is None else f"process {pid}{_name(str(pid))}"


def holding_process(path: Path, locks: Path = _LOCKS) -> int | None:
    """Return the process that has locked a file; None where Linux does not say it."""
    inode = path.stat().st_ino
    try:
        lines = locks.read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        # 1: POSIX  ADVISORY  WRITE 4711 fe:01:123456 0 EOF
        match line.split():
            case [_, _, _, "WRITE", pid, place, *_] if place.endswith(f":{inode}"):
                if pid.isdecimal() and pid != "0":  # 0: in another namespace
                    return int(pid)
            case _:
                pass
    return None


def owner(path: Path) -> str:
    """Return the name of the user that a file belongs to, or its number."""
    try:
        return path.owner()
    except KeyError:
        return f"user {path.stat().st_uid}"


def _name(pid: str) -> str:
    try:
        return f" ({Path('/proc', pid, 'comm').read_text().strip()})"
    except OSError:
        return ""
