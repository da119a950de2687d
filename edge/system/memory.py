"""Gives memory that is free back to the system."""

import ctypes
from typing import Final

# In glibc alone; other C libraries return memory by themselves.
_TRIM: Final = getattr(ctypes.CDLL(None), "malloc_trim", None)


def give_back() -> None:
    """Give free memory of the C library back to the system: some 2 ms.

    FFmpeg, the runtimes and SQLite allocate and free in many threads. What they free stays with the
    process in pieces, more of it with each camera that is called again.
    """
    if _TRIM is not None:
        _TRIM(0)
