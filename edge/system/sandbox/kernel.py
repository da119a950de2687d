"""Asks the kernel for what Python has no words for: ``syscall`` and ``prctl`` of the C library."""

import ctypes
import os
from typing import Final

_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def call(number: int, *arguments: object) -> int:
    """Make a system call and return its answer.

    Args:
        number: Its number.
        arguments: Whole numbers, and structures passed by their address.

    Raises:
        OSError: The kernel, or a filter, said no.
    """
    words = [
        ctypes.c_ulong(argument) if isinstance(argument, int) else argument
        for argument in arguments
    ]
    return _checked(int(_LIBC.syscall(ctypes.c_long(number), *words)))


def control(option: int, value: int) -> int:
    """Set a property of this process (``prctl``).

    Raises:
        OSError: The kernel, or a filter, said no.
    """
    rest = [ctypes.c_ulong(argument) for argument in (value, 0, 0, 0)]
    return _checked(int(_LIBC.prctl(option, *rest)))


def _checked(answer: int) -> int:
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return answer
