"""``edge run``: the daemon in the foreground, as systemd wants it."""

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from edge import app
from edge.config.load import load_config


def run(
    config: Annotated[Path, typer.Argument(help="Configuration file (docs/config.md).")],
) -> None:
    """Watch the cameras and publish, until SIGTERM.

    Example: `edge run /etc/edge/edge.yaml`
    """
    settings = load_config(config)
    stop, wake = threading.Event(), threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        stop.set()
        wake.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    try:
        app.run(settings, stop, wake)
    finally:
        # Python puts its handlers back to "die" before it has quite ended: a second SIGTERM, from
        # an impatient supervisor, would turn a clean end into exit code -15.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
