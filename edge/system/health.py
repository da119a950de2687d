"""Says whether the daemon of this box is well: it answers on a socket in its state folder.

The loop itself answers, between two samples. So a daemon that is stuck, stopped or gone gives no
answer, and nothing that an earlier one left behind counts as one.
"""

import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

logger = logging.getLogger(__name__)

SOCKET: Final = "health.sock"
"""Name of the socket in the state folder."""

PATIENCE_S: Final = 10.0
"""Seconds within which a loop that goes on has answered, on a slow and busy box too."""

_BACKLOG: Final = 16


class DaemonHealth(BaseModel):
    """Health of a daemon; without an answer of it only ``healthy`` and ``problem`` are known.

    Attributes:
        healthy: Whether the model passed its golden self-test and the loop goes on with every
            worker that it needs. A camera or a broker that is away is no fault of the box.
        problem: What is wrong; None where it is healthy.
        version: Version of the daemon.
        pid: Number of its process.
        uptime_s: Seconds since its loop began.
        model: Precision and runtime of the model.
        proven_s: Seconds since the model's golden frames were last embedded as they should be; None
            where they were not.
        connected: Whether it is connected to the broker.
        cameras: State of each camera.
        state: State of the device, as it publishes it.
    """

    model_config = ConfigDict(frozen=True, serialize_by_alias=True)

    schema_: Literal["edge-health/1"] = Field(default="edge-health/1", alias="schema")
    healthy: bool
    problem: str | None = None
    version: str | None = None
    pid: int | None = None
    uptime_s: float | None = None
    model: str | None = None
    proven_s: float | None = None
    connected: bool | None = None
    cameras: Mapping[str, str] = {}
    state: Mapping[str, Any] = {}


class HealthSocket:
    """Socket on which the loop answers. Only the daemon's user and root can reach it.

    Args:
        path: Path of the socket; what an earlier daemon left there is replaced.

    Raises:
        OSError: The file system has no sockets, or refuses this one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with _address(path) as address:
                self._socket.bind(address)
            path.chmod(0o600)
            self._socket.listen(_BACKLOG)
            self._socket.setblocking(False)
        except OSError:
            self._socket.close()
            raise

    def answer(self, health: Callable[[], DaemonHealth]) -> None:
        """Answer everybody who waits; return at once."""
        answer: bytes | None = None
        for _ in range(_BACKLOG):
            try:
                asker, _address_of_asker = self._socket.accept()
            except OSError:  # nobody waits
                return
            answer = answer or health().model_dump_json().encode()
            # One who is gone already, or reads nothing, must not hold the loop up.
            with asker, contextlib.suppress(OSError):
                asker.setblocking(False)
                asker.send(answer)

    def close(self) -> None:
        self._socket.close()
        with contextlib.suppress(OSError):
            self._path.unlink()


def open_socket(path: Path) -> HealthSocket | None:
    """Open the socket; None where that fails, as alerts do not depend on it."""
    try:
        return HealthSocket(path)
    except OSError as exc:
        logger.warning("%s: %s; `edge health` will find no daemon", path, exc.strerror)
        return None


def ask(path: Path, patience_s: float = PATIENCE_S) -> DaemonHealth:
    """Ask the daemon of a state folder; whoever does not answer is not healthy.

    Args:
        path: Path of the socket.
        patience_s: Longest wait for an answer, seconds.
    """
    deadline = time.monotonic() + patience_s
    answer = b""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asker, _address(path) as address:
            asker.settimeout(patience_s)
            asker.connect(address)
            while part := asker.recv(65536):
                answer += part
                asker.settimeout(max(0.001, deadline - time.monotonic()))
        return DaemonHealth.model_validate_json(answer)
    except (TimeoutError, BlockingIOError):  # the latter: many have asked before, and wait
        problem = f"{path}: the daemon has not answered for {patience_s:g} s: it is stuck or starts"
    except ValidationError:
        problem = f"{path}: the daemon has ended without an answer"
    except PermissionError:
        problem = f"{path} belongs to another user: ask as root or as the user of the daemon"
    except OSError as exc:
        problem = f"{path}: no daemon runs here ({exc.strerror})"
    return DaemonHealth(healthy=False, problem=problem)


@contextlib.contextmanager
def _address(path: Path) -> Iterator[str]:
    """Give the address of a socket: it has at most 107 bytes, and a path through /proc is short."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
