"""Writes the filter of system calls, in the kernel's small language for it (classic BPF). Pure.

The kernel runs it before each call. It is a list of what is closed: a call that is needed and
closed would be a camera that never works, on a C library that nobody tried. What these tables do
not know at all, because it is newer than they are, does not exist for the process.
"""

import errno
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from edge.system.sandbox.calls import (
    ABSENT,
    AUDIT,
    CLOSED,
    FIRST_UNKNOWN,
    JUDGED,
    Machine,
    number,
)

ALLOW: Final = 0x7FFF0000
KILL: Final = 0x80000000
ERROR: Final = 0x00050000
"""Answers of a filter; ``ERROR`` with the number of the error in its lower half."""

_REFUSE: Final = ERROR | errno.EPERM
_NO_SUCH_CALL: Final = ERROR | errno.ENOSYS

_LOAD: Final = 0x20
_AND: Final = 0x54
_EQUAL: Final = 0x15
_AT_LEAST: Final = 0x35
_ANSWER: Final = 0x06

# Where the kernel's description of a call has its number, processor and arguments.
_NUMBER: Final = 0
_PROCESSOR: Final = 4
_ARGUMENTS: Final = 16

# O_WRONLY, O_RDWR, O_CREAT, O_TRUNC and O_TMPFILE without its O_DIRECTORY.
_WRITES: Final = 0x1 | 0x2 | 0x40 | 0x200 | 0x400000
_THREAD: Final = 0x10000  # CLONE_THREAD
_NAMESPACES: Final = 0x7E020000  # CLONE_NEW*
# Of prctl: reading the signal at the parent's death, whether it is dumpable, the filter, the name
# and no new privileges; setting the thread's name and that of a stretch of memory.
_HARMLESS: Final = (2, 3, 15, 16, 21, 39, 0x53564D41)
_UNIX, _INET, _INET6 = 1, 2, 10
_STREAM, _DATAGRAM = 1, 2
_KIND: Final = 0xF  # of a socket, without its flags
# Typing into the terminal (TIOCSTI, TIOCLINUX); signals to others (FIOSETOWN, SIOCSPGRP).
_IOCTLS: Final = (0x5412, 0x541C, 0x8901, 0x8902)
_OWNERS: Final = (8, 15)  # F_SETOWN, F_SETOWN_EX: signals to others


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a filter.

    Attributes:
        code: What it does.
        value: What it does it with.
        true: Steps to pass over where a comparison holds.
        false: Steps to pass over where it does not.
    """

    code: int
    value: int
    true: int = 0
    false: int = 0

    def packed(self) -> bytes:
        """Return the step as the kernel reads it."""
        return struct.pack("=HBBI", self.code, self.true, self.false, self.value)


def program(machine: Machine, process: int, *, local: bool) -> list[Step]:
    """Return the filter for a process.

    Args:
        machine: Processor that it runs on.
        process: Its number: it may send signals to itself.
        local: Whether it may speak to services of this machine (Unix sockets).
    """
    steps = [
        _load(_PROCESSOR),
        Step(_EQUAL, AUDIT[machine], true=1),
        _answer(KILL),  # a call of another processor's numbering: nobody honest makes one
        _load(_NUMBER),
        Step(_AT_LEAST, FIRST_UNKNOWN, false=1),
        _answer(_NO_SUCH_CALL),
    ]
    for calls, answer in ((ABSENT, _NO_SUCH_CALL), (CLOSED, _REFUSE)):
        for numbers in calls.values():
            steps += _when(number(numbers, machine), [_answer(answer)])
    bodies = _judged(process, local=local)
    for name, numbers in JUDGED.items():
        steps += _when(number(numbers, machine), bodies[name])
    return [*steps, _answer(ALLOW)]


def _judged(process: int, *, local: bool) -> dict[str, list[Step]]:
    """Return what decides each call by its arguments."""
    families = (_UNIX, _INET, _INET6) if local else (_INET, _INET6)
    ourselves = [_argument(0), *_one_of((process,))]
    return {
        "open": [_argument(1), Step(_AND, _WRITES), *_one_of((0,))],
        "openat": [_argument(2), Step(_AND, _WRITES), *_one_of((0,))],
        "clone": [_argument(0), Step(_AND, _THREAD | _NAMESPACES), *_one_of((_THREAD,))],
        "kill": ourselves,
        "tgkill": ourselves,
        "prctl": [_argument(0), *_one_of(_HARMLESS)],
        # Reading limits alone: both halves of the address of the new ones are 0.
        "prlimit64": [
            _argument(2),
            Step(_EQUAL, 0, true=1),
            _answer(_REFUSE),
            _argument(2, upper=True),
            *_one_of((0,)),
        ],
        "socket": [
            _argument(1),
            Step(_AND, _KIND),
            Step(_EQUAL, _STREAM, true=2),
            Step(_EQUAL, _DATAGRAM, true=1),
            _answer(_REFUSE),
            _argument(0),
            *_one_of(families),
        ],
        "ioctl": [_argument(1), *_none_of(_IOCTLS)],
        "fcntl": [_argument(1), *_none_of(_OWNERS)],
    }


def _when(wanted: int | None, body: Sequence[Step]) -> list[Step]:
    """Return the steps that a call of this number goes through, and no other."""
    return [] if wanted is None else [Step(_EQUAL, wanted, false=len(body)), *body]


def _one_of(values: Iterable[int]) -> list[Step]:
    return [*_found(values, ALLOW), _answer(_REFUSE)]


def _none_of(values: Iterable[int]) -> list[Step]:
    return [*_found(values, _REFUSE), _answer(ALLOW)]


def _found(values: Iterable[int], answer: int) -> list[Step]:
    return [step for value in values for step in (Step(_EQUAL, value, false=1), _answer(answer))]


def _argument(index: int, *, upper: bool = False) -> Step:
    return _load(_ARGUMENTS + 8 * index + 4 * upper)


def _load(offset: int) -> Step:
    return Step(_LOAD, offset)


def _answer(answer: int) -> Step:
    return Step(_ANSWER, answer)
