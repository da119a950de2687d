"""Reads from /proc what a process and its children hold: memory, files, threads, CPU time."""

import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
# Fields after the program's name, which may contain blanks (proc(5)): parent, utime, stime, cutime,
# cstime, threads.
_PARENT, _UTIME, _CSTIME, _THREADS = 1, 11, 14, 17
_PSS: Final = re.compile(r"^Pss: +(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Held:
    """What a process and its children hold at a moment.

    Attributes:
        rss_mb: Resident memory, MB (10^6 bytes); what several processes share counts once (PSS).
        fds: Open file descriptors.
        threads: Threads.
        cpu_s: CPU time since their start, seconds, of those that have ended too.
    """

    rss_mb: float
    fds: int
    threads: int
    cpu_s: float


def held(pid: int, besides: Collection[int] = ()) -> Held:
    """Return what process ``pid`` and all that it has started hold.

    Args:
        pid: Id of the process.
        besides: Ids of children that do not count.

    Raises:
        OSError: The process is gone.
    """
    own = _one(pid)
    children = descendants(pid) - set(besides)
    others = [one for child in children if (one := _other(child)) is not None]
    all_ = [own, *others]
    return Held(
        rss_mb=sum(one.rss_mb for one in all_),
        fds=sum(one.fds for one in all_),
        threads=sum(one.threads for one in all_),
        cpu_s=sum(one.cpu_s for one in all_),
    )


def _other(pid: int) -> Held | None:
    try:
        return _one(pid)
    except OSError:  # it has ended meanwhile
        return None


def _one(pid: int) -> Held:
    folder = Path(f"/proc/{pid}")
    fields = _fields(folder)
    found = _PSS.search((folder / "smaps_rollup").read_text())
    return Held(
        rss_mb=0.0 if found is None else int(found[1]) * 1024 / 1e6,
        fds=len(list((folder / "fd").iterdir())),
        threads=int(fields[_THREADS]),
        cpu_s=sum(map(int, fields[_UTIME : _CSTIME + 1])) / _TICKS,
    )


def _fields(folder: Path) -> list[str]:
    return (folder / "stat").read_text().rpartition(")")[2].split()


def descendants(pid: int) -> set[int]:
    """Return the ids of all that a process has started, and they in turn."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                parent = int(_fields(folder)[_PARENT])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(folder.name))
    found, waiting = set[int](), [pid]
    while waiting:
        begun = children.get(waiting.pop(), [])
        found.update(begun)
        waiting += begun
    return found
