"""Tells a process that does nothing from one that waits for a busy machine."""

import os
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
# A disk, or memory that is short, may keep a process for this long; a driver that hangs, for ever.
_DISK_S: Final = 20.0


class ProcessTime:
    """Time in which a process could have worked.

    Args:
        process: Its id.
        disk_s: Seconds for which waiting for a disk counts as the machine's, in all.
    """

    def __init__(self, process: int, disk_s: float = _DISK_S) -> None:
        self._threads = Path(f"/proc/{process}/task")
        self._disk_s = disk_s
        self._ran_s = self._seen()[1]

    def usable_s(self, passed_s: float) -> float:
        """Return how much of the time since the last call the process could have worked in.

        All of it, unless one of its threads waits for a processor or a disk at this moment: then
        that for which its threads have had a processor.

        Args:
            passed_s: Seconds since the last call.
        """
        before = self._ran_s
        states, self._ran_s = self._seen()
        lost_s = max(0.0, passed_s - max(0.0, self._ran_s - before))  # a thread may have ended
        if "R" in states:
            return passed_s - lost_s
        if "D" in states:
            lost_s = min(lost_s, self._disk_s)
            self._disk_s -= lost_s
            return passed_s - lost_s
        return passed_s

    def _seen(self) -> tuple[set[str], float]:
        """States of its threads (proc(5)); seconds that all of them have run."""
        states, ticks = set(), 0
        try:
            for thread in self._threads.iterdir():
                # "12 (name) R ...": the state, and later on the ticks (proc(5)).
                fields = (thread / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
                states.add(fields[0])
                ticks += int(fields[11]) + int(fields[12])
        except OSError:  # it has just ended, or a thread of it has
            return set(), 0.0
        return states, ticks / _TICKS
