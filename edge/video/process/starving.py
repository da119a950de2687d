"""Tells a process that does nothing from one that waits for a processor on a busy machine."""

import os
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")


class ProcessTime:
    """Time in which a process could have worked.

    Args:
        process: Its id.
    """

    def __init__(self, process: int) -> None:
        self._threads = Path(f"/proc/{process}/task")
        self._ran_s = self._seen()[1]

    def usable_s(self, passed_s: float) -> float:
        """Return how much of the time since the last call the process could have worked in.

        All of it, unless one of its threads waits for a processor at this moment: then that for
        which its threads have had one.

        Args:
            passed_s: Seconds since the last call.
        """
        before = self._ran_s
        waits, self._ran_s = self._seen()
        return min(passed_s, self._ran_s - before) if waits else passed_s

    def _seen(self) -> tuple[bool, float]:
        """Whether a thread runs or waits for a processor; seconds that all threads have run."""
        waits, ticks = False, 0
        try:
            for thread in self._threads.iterdir():
                # "12 (name) R ...": the state, and later on the ticks (proc(5)).
                fields = (thread / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
                waits |= fields[0] == "R"
                ticks += int(fields[11]) + int(fields[12])
        except OSError:  # it has just ended, or a thread of it has
            return False, 0.0
        return waits, ticks / _TICKS
