"""Reads what a process holds from /proc: memory, file descriptors, threads and CPU time."""

import os
from dataclasses import dataclass
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
# Fields after the program's name, which may contain blanks (proc(5)): utime, stime, threads.
_UTIME, _STIME, _THREADS = 11, 12, 17


@dataclass(frozen=True, slots=True)
class Held:
    """What a process holds at a moment.

    Attributes:
        rss_mb: Resident memory, MB (10^6 bytes).
        fds: Open file descriptors.
        threads: Threads.
        cpu_s: CPU time since its start, seconds.
    """

    rss_mb: float
    fds: int
    threads: int
    cpu_s: float


def held(pid: int) -> Held:
    """Return what process ``pid`` holds.

    Raises:
        OSError: The process is gone.
    """
    folder = Path(f"/proc/{pid}")
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    pages = int((folder / "statm").read_text().split()[1])
    return Held(
        rss_mb=pages * _PAGE / 1e6,
        fds=len(list((folder / "fd").iterdir())),
        threads=int(fields[_THREADS]),
        cpu_s=(int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS,
    )
