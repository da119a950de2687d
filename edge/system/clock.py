"""Says whether the clock of this box is synchronised."""

import ctypes
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
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


# What a process does that may be ended for it.
_QUESTION: Final = "import ctypes; ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))"
_PATIENCE_S: Final = 10.0


def _adjtimex() -> int:
    """Ask the kernel for the state of its clock, which chrony, ntpd and others set."""
    return int(_ASK(_TimexBytes())) if _ASK is not None and may_ask() else _NO_ANSWER


@cache
def may_ask() -> bool:
    """Whether asking the kernel does no harm. The answer holds as long as the process.

    A filter of system calls, such as ``SystemCallFilter=@system-service``, may kill who asks: the
    same call sets the clock. Under a filter another process asks first.
    """
    if _UNFILTERED.search(_PROCESS.read_text()):
        return True
    try:
        words = [sys.executable, "-I", "-S", "-c", _QUESTION]
        asker = subprocess.run(words, capture_output=True, check=False, timeout=_PATIENCE_S)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return False
    return asker.returncode == 0


def clock_synced(timesync: Path = _TIMESYNC, kernel: Callable[[], int] = _adjtimex) -> bool | None:
    """Whether a time service has set the clock since boot; None where that cannot be known.

    A clock that nobody sets may run steadily and be wrong by years, from a battery that is empty.
    """
    if timesync.is_dir():
        return (timesync / "synchronized").exists()
    state = kernel()
    return None if state == _NO_ANSWER else state != _UNSYNCHRONISED
