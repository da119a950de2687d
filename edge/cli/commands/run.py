"""The command ``edge run``: runs the daemon in the foreground, as systemd expects."""

import queue
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from edge import app
from edge.config.load import load_config
from edge.system.private import keep_to_ourselves


def run(
    config: Annotated[Path, typer.Argument(help="Configuration file (docs/config.md).")],
) -> None:
    """Watch the cameras and publish, until SIGTERM.

    Example: `edge run /etc/edge/edge.yaml`
    """
    keep_to_ourselves()
    settings = load_config(config)
    stop, wake = threading.Event(), threading.Event()

    # A signal handler runs between two steps of the main thread, which may hold an event's lock at
    # that moment: setting the event here would wait for ever. A put into this queue is safe.
    signals: queue.SimpleQueue[int] = queue.SimpleQueue()

    def end(number: int, _frame: FrameType | None) -> None:
        signals.put(number)

    def await_end() -> None:
        signals.get()
        stop.set()
        wake.set()

    threading.Thread(target=await_end, name="signals", daemon=True).start()
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    try:
        app.run(settings, stop, wake)
    finally:
        # Python restores the default handlers shortly before it exits: a second SIGTERM from an
        # impatient supervisor would then turn a clean end into exit code -15.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
