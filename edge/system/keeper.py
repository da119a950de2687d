"""Writes the side files of the device in a thread of its own, so that no alert waits for them."""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Final, Protocol

from edge.errors import SideFileError
from edge.system.workers import WorkerThread

logger = logging.getLogger(__name__)

# A disk that takes longer than this for one file is reported before it has answered.
_SLOW_S: Final = 3.0


class SideFile(Protocol):
    """A file that holds back what it shall write until the keeper comes by."""

    @property
    def name(self) -> str:
        """Name of the file, for reports."""
        ...

    def flush(self) -> None:
        """Read and write what waits.

        Raises:
            SideFileError: It cannot be done now; what waits goes on waiting.
        """
        ...


class Keeper:
    """Worker that flushes side files again and again. One that is in trouble holds no other up.

    Args:
        files: The files.
        period_s: Seconds between two rounds.
        slow_s: Seconds after which a flush that has not ended is reported.
    """

    def __init__(
        self, files: Sequence[SideFile], *, period_s: float = 1.0, slow_s: float = _SLOW_S
    ) -> None:
        self._files = tuple(files)
        self._period_s = period_s
        self._slow_s = slow_s
        self._errors: dict[str, SideFileError] = {}
        self._now: tuple[str, float] | None = None  # the file at work, and monotonic since when
        self._stopping = threading.Event()
        self._thread = WorkerThread("keeper", self._run)

    def start(self) -> None:
        self._thread.start()

    @property
    def failed(self) -> bool:
        """Whether an error that nobody expected has ended the thread."""
        return self._thread.failed

    def errors(self) -> dict[str, str]:
        """Reasons why a file is not read or written now, by its name."""
        errors = {name: str(error) for name, error in self._errors.copy().items()}
        now = self._now
        if now is not None and time.monotonic() - now[1] > self._slow_s:
            name, since = now
            errors[name] = f"the disk has not answered for {time.monotonic() - since:.0f} s"
        return errors

    def stop(self, timeout_s: float) -> bool:
        """Write what waits and end the thread; wait at most ``timeout_s`` for a hanging disk."""
        self._stopping.set()
        return self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping.wait(self._period_s):
            self._round()
        self._round()

    def _round(self) -> None:
        for file in self._files:
            self._now = file.name, time.monotonic()
            try:
                file.flush()
            except SideFileError as exc:
                self._note(file, exc)
            except Exception as exc:  # noqa: BLE001  this thread's owner: the others go on
                error = SideFileError(f"{file.name}: {type(exc).__name__}: {exc}", "failing")
                self._note(file, error, trace=exc)
            else:
                if self._errors.pop(file.name, None) is not None:
                    logger.info("%s is read and written again", file.name)
            finally:
                self._now = None

    def _note(
        self, file: SideFile, error: SideFileError, *, trace: Exception | None = None
    ) -> None:
        """Note what is wrong with a file; log it when that changes."""
        before = self._errors.get(file.name)
        if before is None or before.trouble != error.trouble:
            logger.error("%s; alerts go on", error, exc_info=trace)
        self._errors[file.name] = error
