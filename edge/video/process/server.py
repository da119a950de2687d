"""Makes the processes of cameras: a process that has all libraries loaded forks itself for each.

A camera's process so begins within milliseconds, and shares the libraries' memory with the others.
The server itself reads nothing of a camera. It has one thread, or else a fork would copy locks that
nobody opens again, and it ends with the daemon's end of its socket.
"""

import ctypes
import errno
import gc
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module  # noqa: TID251  the daemon imports none of it
from pathlib import Path
from typing import Final, NoReturn

# (channel, file descriptor of the memory): what runs in the process of a camera.
Run = Callable[[socket.socket, int], None]

_IGNORED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15
# The kernel that is out of memory ends a camera before it ends the daemon.
_OOM_SCORE: Final = "500"
MOST_BYTES: Final = 4096
_FDS: Final = 2


def main(fd: int, child: str) -> NoReturn:
    """Serve the daemon over the socket ``fd`` until it is gone; ``child`` has what is to run."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    module = import_module(child)
    module.prepare()
    run: Run = module.run
    with socket.socket(fileno=fd) as daemon, suppress(ConnectionError):
        Server(daemon, run).serve()
    os._exit(0)


class Server:
    """Forks for each request, and says how each process ended.

    Args:
        daemon: Connection with the daemon.
        run: What runs in a new process.
    """

    def __init__(self, daemon: socket.socket, run: Run) -> None:
        self._daemon = daemon
        self._run = run
        self._numbers: dict[int, int] = {}  # process -> number that the daemon gave it

    def serve(self) -> None:
        """Serve until the daemon's end of the socket is closed."""
        # What is there now stays for ever: no collection touches it, so it stays shared.
        gc.collect()
        gc.freeze()
        ended, ends = socket.socketpair()
        for end in (ended, ends):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(ends.fileno(), warn_on_full_buffer=False)
        self._own = (self._daemon, ended, ends)
        while True:
            ready, _, _ = select.select([self._daemon, ended], [], [])
            if ended in ready:
                ended.recv(4096)
                self._reap()
            if self._daemon in ready:
                data, fds, _, _ = socket.recv_fds(self._daemon, MOST_BYTES, _FDS)
                if not data:
                    return
                self._fork(int(data), fds)

    def _fork(self, number: int, fds: list[int]) -> None:
        """Fork for ``fds``: the channel and the memory, or fewer where no descriptor was free."""
        try:
            self._numbers[self._begin(number, fds)] = number
        except OSError as exc:
            self._say({"number": number, "refused": exc.strerror})
        finally:
            for fd in fds:
                os.close(fd)

    def _begin(self, number: int, fds: list[int]) -> int:
        """Return the id of a new process that the daemon has a descriptor of.

        Raises:
            OSError: There is none, or no descriptor of it: then it has ended again.
        """
        if len(fds) < _FDS:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        server = os.getpid()
        process = os.fork()
        if not process:
            self._become_camera(server, *fds)
        try:
            handle = os.pidfd_open(process)  # it is not reaped yet, so it is this one
            try:
                told = json.dumps({"number": number, "process": process}).encode()
                socket.send_fds(self._daemon, [told], [handle])
            finally:
                os.close(handle)
        except OSError:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            raise
        return process

    def _reap(self) -> None:
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not process:
                return
            code = os.waitstatus_to_exitcode(status)
            number = self._numbers.pop(process)
            self._say({"number": number, "code": code})

    def _say(self, what: dict[str, object]) -> None:
        self._daemon.send(json.dumps(what).encode())

    def _become_camera(self, server: int, channel: int, memory: int) -> NoReturn:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for end in self._own:
                end.close()
            libc = ctypes.CDLL(None)
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            libc.prctl(_PR_SET_NAME, b"edge-camera")
            if os.getppid() != server:  # it ended before that was asked for
                os._exit(1)
            _be_the_first_to_go()
            with socket.socket(fileno=channel) as daemon:
                self._run(daemon, memory)
            code = 0
        finally:
            os._exit(code)


def _be_the_first_to_go() -> None:
    try:
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE, encoding="ascii")
    except OSError:
        return  # the kernel chooses by itself


def command(fd: int, child: str) -> list[str]:
    """Command that starts the server on the socket ``fd``, with this process's import path."""
    program = (
        f"import sys; sys.path[:] = {sys.path!r}; "
        f"from edge.video.process.server import main; main({fd}, {child!r})"
    )
    return [sys.executable, "-c", program]
