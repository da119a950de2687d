"""Starts and ends the daemon's process for the demo."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

# The daemon promises to exit within 5 s of SIGTERM.
_STOP_S: Final = 8.0


class DaemonProcess:
    """Process of ``edge run CONFIG`` with its output in a file; leaving the context ends it.

    Args:
        config: Configuration file.
        log: File for the output of the process.
        environment: All environment variables of the process.
    """

    def __init__(self, config: Path, log: Path, environment: Mapping[str, str]) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 a list, no shell, our own module
                [sys.executable, "-m", "edge", "run", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Return the exit code; None while the process runs."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask the process to end, as systemd does; it exits within seconds."""
        if self.exit_code is None:
            self._process.terminate()

    def last_words(self, lines: int = 8) -> str:
        """Return the last lines of the log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])
