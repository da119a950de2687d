"""Tries in a process of its own what the sandbox keeps a camera from doing on this box."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from edge.system.sandbox.confine import Barrier, Bounds, confine

_BOUNDS: Final = Bounds(memory=256 << 20, files=64)
_PATIENCE_S: Final = 30.0
# There on every Linux, for everybody, and in no folder that is open.
_OTHERS_FILE: Final = Path("/etc/passwd")


@dataclass(frozen=True, slots=True)
class Experiment:
    """What a process in the sandbox could and could not do.

    Attributes:
        barriers: What it was told of the barriers.
        possible: What it could do all the same, of ``ACTS``.
    """

    barriers: tuple[Barrier, ...]
    possible: tuple[str, ...]


def _write() -> None:
    with tempfile.NamedTemporaryFile():
        pass


def _read() -> None:
    _OTHERS_FILE.read_bytes()


def _start() -> None:
    subprocess.run(["/bin/true"], check=True)


def _fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _listen() -> None:
    with socket.socket() as waiting:
        waiting.bind(("127.0.0.1", 0))
        waiting.listen()


def _signal() -> None:
    os.kill(os.getppid(), 0)  # only asks


ACTS: Final[Mapping[str, Callable[[], None]]] = {
    "write a file": _write,
    "read a file that it does not need": _read,
    "start a program": _start,
    "make a process": _fork,
    "wait for connections": _listen,
    "send a signal to another process": _signal,
}
"""What the sandbox is there against. None of it leaves a trace where it is possible."""


def possible() -> tuple[str, ...]:
    """Return what this process can do, of ``ACTS``."""
    found = []
    for name, act in ACTS.items():
        try:
            act()
        except OSError:
            continue
        found.append(name)
    return tuple(found)


def try_sandbox(patience_s: float = _PATIENCE_S) -> Experiment | None:
    """Put another process into the sandbox, and let it try; None where none can be started.

    Args:
        patience_s: Longest wait for it, seconds.
    """
    words = [sys.executable, "-m", __name__]
    try:
        done = subprocess.run(  # noqa: S603  our own module
            words, capture_output=True, check=True, timeout=patience_s, stdin=subprocess.DEVNULL
        )
        document = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    barriers = tuple(Barrier(**barrier) for barrier in document["barriers"])
    return Experiment(barriers, tuple(document["possible"]))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(Experiment(confine(_BOUNDS), possible()))))
