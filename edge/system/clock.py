"""Says whether the clock of this box is synchronised."""

import ctypes
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

# systemd-timesyncd creates the directory when it runs, and the file after its first
# synchronisation, which is before the kernel says so.
_TIMESYNC: Final = Path("/run/systemd/timesync")
# What adjtimex returns where no time service disciplines the clock (TIME_ERROR), and where it
# cannot be asked.
_UNSYNCHRONISED: Final = 5
_NO_ANSWER: Final = -1
_PROCESS: Final = Path("/proc/self/status")
_UNFILTERED: Final = re.compile(r"^Seccomp:\s*0$", re.MULTILINE)
# Larger than the kernel's struct timex everywhere; all zero, it only asks.
_TimexBytes: Final = ctypes.c_char * 512
# Made once: each ``CDLL`` and each array type is a cycle of objects.
_ASK: Final = getattr(ctypes.CDLL(None), "adjtimex", None)


def _adjtimex() -> int:
    """Ask the kernel for the state of its clock, which chrony, ntpd and others set.

    A filter of system calls, such as ``SystemCallFilter=@system-service``, may kill who asks: the
    same call sets the clock. Under any filter nobody asks.
    """
    if _ASK is None or not _UNFILTERED.search(_PROCESS.read_text()):
        return _NO_ANSWER
    return int(_ASK(_TimexBytes()))


def clock_synced(timesync: Path = _TIMESYNC, kernel: Callable[[], int] = _adjtimex) -> bool | None:
    """Whether a time service has set the clock since boot; None where that cannot be known.

    A clock that nobody sets may run steadily and be wrong by years, from a battery that is empty.
    """
    if timesync.is_dir():
        return (timesync / "synchronized").exists()
    state = kernel()
    return None if state == _NO_ANSWER else state != _UNSYNCHRONISED
