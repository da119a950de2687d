"""Ends the daemon: hears its signals at any moment, and ends where a call does not return.

Python runs the handler of a signal in the main thread, between two of its own steps: not while
that thread opens a model or runs one, which takes seconds. So a thread of its own hears the signals
here, through a socket that the handler of the operating system writes to.
"""

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, NoReturn

logger = logging.getLogger(__name__)

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# Of the 5 s within which the daemon must end. The rest is for the operating system, which frees the
# memory of the process: up to 1.1 s where eight others want the same two cores.
_PATIENCE_S: Final = 3.6
# A log that nobody reads blocks its writer, and must not keep the process alive.
_MOMENT_S: Final = 0.1


class Ended(Exception):
    """The daemon is asked to end, so a piece of work was given up. Nothing is wrong."""


class Stop(threading.Event):
    """Asks the daemon to end, and knows since when.

    Attributes:
        since: ``time.monotonic()`` of the request; None before it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.since: float | None = None
        self._listeners: list[Callable[[], None]] = []

    def listen(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once the daemon is asked to end, in a thread that nobody waits for."""
        self._listeners.append(callback)

    def set(self) -> None:
        first = self.since is None
        if first:
            self.since = time.monotonic()
        super().set()
        for callback in self._listeners if first else ():
            threading.Thread(target=callback, name="asked to end", daemon=True).start()

    def check(self) -> None:
        """Give up the work of this thread if the daemon is asked to end.

        Raises:
            Ended: It is.
        """
        if self.is_set():
            raise Ended


def end_at_once_when_asked() -> None:
    """Let SIGTERM, SIGINT and SIGHUP end the process with exit code 0: nothing has begun yet."""
    for number in _heeded():
        signal.signal(number, lambda *_: os._exit(0))


@contextmanager
def heeding_signals(
    stop: Stop,
    wake: threading.Event,
    patience_s: float = _PATIENCE_S,
    reload: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Turn SIGTERM and SIGINT into a request to end, and SIGHUP into one to read the file again.

    Where the process was started from a terminal, SIGHUP says that the terminal is gone: that is a
    request to end.

    A process that has not ended within ``patience_s`` of the request is in a call that does not
    return: a runtime that opens a model, a disk, a driver, a log that nobody reads. Nothing can
    interrupt that. The process then ends with exit code 0, as after a power cut: what was committed
    is on disk, and the broker publishes the last will.

    Args:
        stop: Set at the first signal.
        wake: Set after ``stop``.
        reload: Called at SIGHUP, from a thread; None: SIGHUP is a request to end.
        patience_s: Seconds for the process to end.
    """
    heard, hears = socket.socketpair()
    hears.setblocking(False)
    hang_up = None if reload is None or _from_terminal() else bytes([signal.SIGHUP])

    def attend() -> None:
        with heard:  # open to the end: further signals are written to it as well
            while (number := heard.recv(1)) == hang_up and reload is not None:
                reload()
            if not number:  # the block has ended, and nobody asked
                return
            stop.set()
            wake.set()
            time.sleep(patience_s)
            _speak("a call has not returned for %.1f s: ending without it", patience_s)
            os._exit(0)

    attendant = threading.Thread(target=attend, name="signals", daemon=True)
    attendant.start()
    for number in _heeded():
        signal.signal(number, _heard)
    signal.set_wakeup_fd(hears.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        # Python restores the default handlers shortly before it exits: a second SIGTERM from an
        # impatient supervisor would then turn a clean end into exit code -15.
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)
        hears.close()
        if not stop.is_set():
            attendant.join(_MOMENT_S)


def _from_terminal() -> bool:
    try:
        return os.isatty(0)
    except OSError:  # there is no standard input
        return False


def leave(code: int) -> NoReturn:
    """End the process with an exit code.

    Everything is closed already, so the interpreter does not end: that frees each object of its
    modules, which took up to 6 s on a loaded machine. A thread may also be in a call of a runtime
    still, which stops for nothing. It would come back to no interpreter, and end the process by
    SIGABRT or SIGSEGV.
    """
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except OSError:
        sys.exit(code)  # the interpreter tries again, and reports it
    os._exit(code)


def _heeded() -> list[signal.Signals]:
    """Signals that ask for the end; ``nohup`` has the end of a terminal (SIGHUP) ignored."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [number for number in _SIGNALS if number != signal.SIGHUP or not ignored]


def _heard(_number: int, _frame: FrameType | None) -> None:
    """Handle nothing: a signal without a handler in Python would not be written to the socket."""


def _speak(text: str, *values: object) -> None:
    """Log a warning; wait only a moment for a log that is blocked."""
    speaker = threading.Thread(target=logger.warning, args=(text, *values), daemon=True)
    speaker.start()
    speaker.join(_MOMENT_S)
