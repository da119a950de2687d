"""The daemon's side of the server that makes the processes of cameras."""

import logging
import os
import re
import selectors
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Final

from pydantic import BaseModel, ConfigDict, TypeAdapter

from edge.system.backoff import WORKER
from edge.system.redact import redact
from edge.video.process.life import Life
from edge.video.process.server import MOST_BYTES, command

logger = logging.getLogger(__name__)

# A server that has not answered for so long is begun anew. It loads its libraries first.
_ANSWER_S: Final = 30.0
# A server that closes its socket ends by itself within so long.
_PARTING_S: Final = 1.0
# Threads of numpy's algebra would be lost in a fork, and memory of many arenas is not shared.
# Large blocks are given back when they are freed: otherwise a JPEG leaves 5 MB with its process.
_ENVIRONMENT: Final = {
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "131072",
}
# Without these nothing begins, or it reads other files; a short password may be part of any path.
_NO_SECRET: Final = re.compile(r"PATH|HOME|LD_LIBRARY_PATH|PYTHONPATH|LANG|LC_\w+|TZ|SSL_CERT_\w+")


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    number: int


class _Forked(_Said):
    process: int


class _Refused(_Said):
    refused: str | None


class _Ended(_Said):
    code: int


_SAID: Final[TypeAdapter[_Forked | _Refused | _Ended]] = TypeAdapter(_Forked | _Refused | _Ended)


@dataclass(frozen=True, slots=True)
class ProcessForked:
    """A process is there: its id, and a descriptor of it."""

    number: int
    process: int
    fd: int


@dataclass(frozen=True, slots=True)
class ProcessEnded:
    """A process has ended, and how."""

    number: int
    words: str


class Nursery:
    """Keeps the server running. The supervisor's thread alone uses it.

    Args:
        selector: Watches the server's socket; its data is the nursery.
        child: Module whose ``run`` runs in each process.

    Attributes:
        trouble: Why the last server ended or could not begin; empty since one has made a process.
    """

    def __init__(self, selector: selectors.BaseSelector, child: str) -> None:
        self._selector = selector
        self._child = child
        self._server: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self.trouble = ""
        self._failures = 0  # in a row
        self._again_at = 0.0
        self._rng = Random()  # noqa: S311  jitter, no secret
        self._owed: dict[int, float] = {}  # number of a process -> when it was asked for

    def keep(self) -> bool:
        """Begin the server where there is none; return whether there is one."""
        now = time.monotonic()
        if self._server is not None and self._owed and now - min(self._owed.values()) > _ANSWER_S:
            logger.error("the server of the cameras' processes hangs: it begins anew")
            self._server.kill()
        if self._server is None and now >= self._again_at:
            self._begin()
        return self._server is not None

    def ask(self, life: Life) -> bool:
        """Ask for a process; return whether the server takes it."""
        if self._socket is None:
            return False
        try:
            life.hand_over(self._socket)
        except OSError:
            return False
        self._owed[life.number] = time.monotonic()
        return True

    def heard(self) -> list[ProcessForked | ProcessEnded] | None:
        """Return what the server says; None once it is gone, and all processes with it."""
        if self._socket is None:
            return None
        try:
            data, fds, _, _ = socket.recv_fds(self._socket, MOST_BYTES, 1)
        except OSError:
            data, fds = b"", []
        if not data:
            self._failed(self._end())
            return None
        try:
            said = _SAID.validate_json(data)
        except ValueError:
            for fd in fds:
                os.close(fd)
            self.close()
            self._failed("says what is no word of it")
            return None
        self._owed.pop(said.number, None)
        if isinstance(said, _Forked) and fds:
            self.trouble, self._failures = "", 0
            return [ProcessForked(said.number, said.process, fds[0])]
        return [ProcessEnded(said.number, _words(said))]

    def close(self) -> None:
        """End the server."""
        if self._socket is not None:
            self._selector.unregister(self._socket)
            self._socket.close()
            self._socket = None
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None
        self._owed.clear()

    def _begin(self) -> None:
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            try:
                self._server = subprocess.Popen(  # noqa: S603  this program
                    command(its.fileno(), self._child),
                    pass_fds=[its.fileno()],
                    stdin=subprocess.DEVNULL,
                    env=environment() | _ENVIRONMENT,
                    start_new_session=True,  # no key of a terminal reaches it while it loads
                )
            except OSError as exc:
                self._failed(f"cannot begin: {exc.strerror}")
                ours.close()
                return
        self._socket = ours
        self._selector.register(ours, selectors.EVENT_READ, self)

    def _end(self) -> str:
        """Let go of a server that has closed its socket; return how it ended."""
        server = self._server
        if server is not None:
            with suppress(subprocess.TimeoutExpired):
                server.wait(_PARTING_S)
        self.close()
        code = None if server is None else server.returncode
        return f"was ended by {_signal(-code)}" if code and code < 0 else f"ended with code {code}"

    def _failed(self, reason: str) -> None:
        """Take note that there is no server, and say why where that is new."""
        reason = f"the server of the cameras' processes {reason}"
        self._failures += 1
        delay_s = WORKER.delay_s(self._failures, self._rng)
        self._again_at = time.monotonic() + delay_s
        level = logging.DEBUG if reason == self.trouble else logging.ERROR
        logger.log(level, "%s; next try in %.1f s", reason, delay_s)
        self.trouble = reason


def environment() -> dict[str, str]:
    """Return the environment of this process, without variables that hold a secret."""
    return {
        name: value
        for name, value in os.environ.items()
        if _NO_SECRET.fullmatch(name) or redact(value) == value
    }


def _words(said: _Forked | _Refused | _Ended) -> str:
    match said:
        case _Forked():  # the daemon has no descriptor free; the process ends with its channel
            return "its process cannot be watched: too many open files"
        case _Refused():
            return f"its process cannot begin: {said.refused}"
        case _Ended(code=0):
            return "its process has ended"
        case _Ended(code=code) if code < 0:
            return f"its process was ended by {_signal(-code)}"
        case _Ended():
            return f"its process ended with code {said.code}"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the real-time signals between the first and the last
        return f"signal {number}"
