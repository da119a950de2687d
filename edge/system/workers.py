"""Runs the daemon's long-lived threads as one group, in the manner of a task group.

Each thread has one owner, which starts it, sees it die, starts it again and stops it: the group.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Protocol

from edge.system.backoff import HEALTHY_S, WORKER, Backoff
from edge.system.ending import Ended
from edge.system.pulse import Pulse

logger = logging.getLogger(__name__)


class Worker(Protocol):
    """Something that works in a thread of its own until it is asked to end."""

    @property
    def failed(self) -> bool:
        """Whether an error that nobody expected has ended the thread."""
        ...

    def start(self) -> None:
        """Begin, or begin again after a failure; returns at once."""
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
        self._name = name
        self._run = run
        self._thread = self._new_thread()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin, or begin again after a failure."""
        if self.failed:
            self._thread.join()  # it is about to end
            self._thread = self._new_thread()
            self.failed = False
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; return whether the thread has ended, or never began."""
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _new_thread(self) -> threading.Thread:
        return threading.Thread(target=self._work, name=self._name, daemon=True)

    def _work(self) -> None:
        try:
            self._run()
        except Ended:
            logger.debug("%s has given up its work, as asked", self._thread.name)
        except BaseException:
            self.failed = True
            logger.critical("%s has ended by an error", self._thread.name, exc_info=True)


@dataclass(slots=True)
class _Running:
    """A worker of the group.

    Attributes:
        pulse: Says whether it goes on; None where nobody knows.
        since: ``time.monotonic()`` of its last start.
        failures: Failures in a row.
        again_at: ``time.monotonic()`` of the next start; None while it has not failed.
    """

    worker: Worker
    essential: bool
    pulse: Pulse | None
    since: float
    failures: int = 0
    again_at: float | None = None
    was_late: bool = False


class WorkerGroup:
    """Starts workers, starts again those that fail, and stops them in the order that is asked for.

    Args:
        retry: Delays before a worker that has failed is started again.
        healthy_s: Seconds after which a failure is a first one, and not one more in a row.
    """

    def __init__(self, retry: Backoff = WORKER, healthy_s: float = HEALTHY_S) -> None:
        self._retry = retry
        self._healthy_s = healthy_s
        self._rng = Random()  # noqa: S311  jitter, no secret
        self._running: dict[str, _Running] = {}

    def start(
        self, name: str, worker: Worker, *, essential: bool, pulse: Pulse | None = None
    ) -> None:
        """Start a worker.

        Args:
            name: Name of the worker.
            worker: The worker.
            essential: Whether the daemon is useless without it, and must be restarted.
            pulse: Says whether it goes on. One that does not is essential: nothing but a restart
                ends a thread that hangs.
        """
        self._running[name] = _Running(worker, essential, pulse, time.monotonic())
        worker.start()

    def failed(self) -> list[str]:
        """Names of the workers that have failed, and have not been started again yet."""
        return [name for name, running in self._running.items() if running.worker.failed]

    def late(self) -> list[str]:
        """Names of the workers whose present piece of work takes too long."""
        pulses = ((name, running.pulse) for name, running in self._running.items())
        return [name for name, pulse in pulses if pulse is not None and pulse.is_late()]

    def tend(self) -> None:
        """Start the workers again that have failed, each after a wait; each failure is logged."""
        now = time.monotonic()
        late = self.late()
        for name, running in self._running.items():
            if name in late and not running.was_late and running.pulse is not None:
                logger.error("worker %s hangs for %g s", name, running.pulse.patience_s)
            running.was_late = name in late
        for name in self.failed():
            running = self._running[name]
            if running.again_at is None:
                sound = now - running.since >= self._healthy_s
                running.failures = 1 if sound else running.failures + 1
                delay_s = self._retry.delay_s(running.failures, self._rng)
                running.again_at = now + delay_s
                what = "essential" if running.essential else "not essential"
                logger.error(
                    "worker %s has failed; it is %s, and starts again in %g s", name, what, delay_s
                )
            elif now >= running.again_at:
                running.again_at, running.since = None, now
                running.worker.start()

    @property
    def progressing(self) -> bool:
        """Whether every essential worker runs, and none hangs."""
        failed = any(self._running[name].essential for name in self.failed())
        return not failed and not self.late()

    def ask(self, names: Iterable[str]) -> None:
        """Ask some workers to end, without waiting; ``stop`` waits for them later."""
        for name in names:
            if name in self._running:
                self._running[name].worker.stop(0.0)

    def stop(self, names: Iterable[str], timeout_s: float) -> None:
        """Stop some workers together: all are asked first, then waited for.

        Args:
            names: Names of the workers; those that do not run are passed over.
            timeout_s: Seconds for all of them together.
        """
        workers = [self._running.pop(name).worker for name in list(names) if name in self._running]
        deadline = time.monotonic() + timeout_s
        for worker in workers[1:]:
            worker.stop(0.0)
        for worker in workers:
            worker.stop(max(0.0, deadline - time.monotonic()))
