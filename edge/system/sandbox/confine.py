"""Puts the present process into the sandbox, and says what holds of it."""

import ctypes
import errno
import os
import platform
import resource
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from edge.system.sandbox import landlock
from edge.system.sandbox.calls import CLOSED, MACHINES, SECCOMP, Machine
from edge.system.sandbox.kernel import call, control
from edge.system.sandbox.program import program
from edge.system.sandbox.reading import needed

BarrierName = Literal["limits", "no new privileges", "Landlock", "system calls"]

_NO_NEW_PRIVILEGES: Final = 38  # PR_SET_NO_NEW_PRIVS
_SET_FILTER: Final = 1
_ALL_THREADS: Final = 1  # SECCOMP_FILTER_FLAG_TSYNC
_MEMORY: Final = Path("/proc/self/statm")
_THREADS: Final = Path("/proc/self/task")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a process in the sandbox may take.

    Attributes:
        memory: Bytes of address space beyond what it has already. Each thread takes about 72 MB of
            it on glibc, for its stack and its heap, whatever it uses.
        files: Files and connections that are open at a time.
    """

    memory: int
    files: int


@dataclass(frozen=True, slots=True)
class Barrier:
    """One of the means of the sandbox.

    Attributes:
        name: Which it is.
        found: What holds, in words; empty where nothing does.
        lacking: What does not hold, and why; empty where all does.
    """

    name: BarrierName
    found: str = ""
    lacking: str = ""


def confine(bounds: Bounds, readable: Iterable[Path] = ()) -> tuple[Barrier, ...]:
    """Put this process into the sandbox, for ever, with all threads that it will start.

    To be called when the libraries are loaded, what is to be written is open, the signal at the
    parent's death is set, and no other thread runs. Afterwards a refused call gives ``EPERM``
    (``PermissionError``); so does writing to a file that was opened before, but not to a pipe, a
    socket, a terminal or memory that is mapped. Nothing is raised: a barrier that this kernel or
    the service manager lacks is returned as lacking.

    Args:
        bounds: How much it may take.
        readable: Folders and files that it reads, beside libraries and what resolves names.
    """
    return (
        _barrier("limits", lambda: _limit(bounds)),
        _barrier("no new privileges", _no_new_privileges),
        _barrier("Landlock", lambda: _landlock([*needed(), *readable])),
        _barrier("system calls", _filter_calls),
    )


def _barrier(name: BarrierName, erect: Callable[[], tuple[str, str]]) -> Barrier:
    try:
        return Barrier(name, *erect())
    except OSError as exc:
        if exc.errno in {errno.ENOSYS, errno.EOPNOTSUPP}:
            return Barrier(name, lacking="this kernel has it not, or not switched on")
        return Barrier(name, lacking=f"refused by the kernel or a filter: {exc.strerror}")


def _limit(bounds: Bounds) -> tuple[str, str]:
    pages = int(_MEMORY.read_text().split()[0])
    wanted = {
        resource.RLIMIT_AS: pages * resource.getpagesize() + bounds.memory,
        resource.RLIMIT_NOFILE: bounds.files,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for kind, most in wanted.items():
        _, hard = resource.getrlimit(kind)
        within = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (within, within))
    return f"{bounds.memory / 1e6:.0f} MB more memory, {bounds.files} files", ""


def _no_new_privileges() -> tuple[str, str]:
    control(_NO_NEW_PRIVILEGES, 1)
    return "yes", ""


def _landlock(readable: list[Path]) -> tuple[str, str]:
    version, others = landlock.version(), sum(1 for _ in _THREADS.iterdir()) - 1
    landlock.close_all_but(readable, version)
    lacking = [what for since, what in landlock.NEWER if version < since]
    if others:
        lacking.append(f"{others} threads that ran before it")
    return f"version {version}", f"not closed: {', '.join(lacking)}" if lacking else ""


def _filter_calls() -> tuple[str, str]:
    machine = known_machine()
    if machine is None:
        return "", f"no filter is written for a processor of {platform.machine()}"
    local = os.geteuid() != 0  # services of this machine obey root
    steps = program(machine, os.getpid(), local=local)
    packed = ctypes.create_string_buffer(b"".join(step.packed() for step in steps))
    filter_ = _Filter(len(steps), ctypes.addressof(packed))
    # A thread that has a filter of its own cannot take this one; then no thread has it.
    thread = call(SECCOMP[machine], _SET_FILTER, _ALL_THREADS, ctypes.byref(filter_))
    return ("", f"refused by thread {thread}") if thread else (f"{len(CLOSED)} closed", "")


def known_machine() -> Machine | None:
    """Return the processor that this process runs on, if the filter knows it."""
    return next((name for name in MACHINES if name == platform.machine()), None)


class _Filter(ctypes.Structure):
    """The kernel's ``sock_fprog``."""

    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))
