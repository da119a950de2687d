"""Runs the daemon's long-lived threads as one group, in the manner of a task group.

Each thread has one owner, which starts it, sees it die and stops it: the group.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from edge.system.ending import Ended

logger = logging.getLogger(__name__)


class Worker(Protocol):
    """Something that works in a thread of its own until it is asked to end."""

    @property
    def failed(self) -> bool:
        """Whether an error that nobody expected has ended the thread."""
        ...

    def start(self) -> None:
        """Begin; returns at once."""
        ...

    def stop(self, timeout_s: float) -> object:
        """Ask the thread to end, and wait for it for at most ``timeout_s``."""
        ...


class WorkerThread:
    """The thread of a worker. It does not keep the process alive.

    Args:
        name: Name of the thread.
        run: Work; it returns, or raises ``Ended``, when the worker was asked to end.

    Attributes:
        failed: Whether an exception of ``run`` has ended the thread. It is logged with its
            traceback.
    """

    def __init__(self, name: str, run: Callable[[], None]) -> None:
        self.failed = False
        self._run = run
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; return whether the thread has ended, or never began."""
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            self._run()
        except Ended:
            logger.debug("%s has given up its work, as asked", self._thread.name)
        except BaseException:
            self.failed = True
            logger.critical("%s has ended by an error", self._thread.name, exc_info=True)


class WorkerGroup:
    """Starts workers, watches them, and stops them in the order that is asked for."""

    def __init__(self) -> None:
        self._running: dict[str, Worker] = {}
        self._essential: set[str] = set()
        self._reported: set[str] = set()

    def start(self, name: str, worker: Worker, *, essential: bool) -> None:
        """Start a worker.

        Args:
            name: Name of the worker.
            worker: The worker.
            essential: Whether the daemon is useless without it, and must be restarted.
        """
        self._running[name] = worker
        if essential:
            self._essential.add(name)
        worker.start()

    def failed(self) -> list[str]:
        """Names of the workers that have failed; each is logged once."""
        failed = [name for name, worker in self._running.items() if worker.failed]
        for name in failed:
            if name not in self._reported:
                self._reported.add(name)
                what = "essential" if name in self._essential else "not essential"
                logger.error("worker %s has failed; it is %s", name, what)
        return failed

    @property
    def progressing(self) -> bool:
        """Whether no essential worker has failed."""
        return not self._essential.intersection(self.failed())

    def ask(self, names: Iterable[str]) -> None:
        """Ask some workers to end, without waiting; ``stop`` waits for them later."""
        for name in names:
            if name in self._running:
                self._running[name].stop(0.0)

    def stop(self, names: Iterable[str], timeout_s: float) -> None:
        """Stop some workers together: all are asked first, then waited for.

        Args:
            names: Names of the workers; those that do not run are passed over.
            timeout_s: Seconds for all of them together.
        """
        workers = [self._running.pop(name) for name in list(names) if name in self._running]
        deadline = time.monotonic() + timeout_s
        for worker in workers[1:]:
            worker.stop(0.0)
        for worker in workers:
            worker.stop(max(0.0, deadline - time.monotonic()))
