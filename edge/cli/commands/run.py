"""The command ``edge run``: runs the daemon in the foreground, as systemd expects."""

import threading
from pathlib import Path
from typing import Annotated

import typer

from edge import app
from edge.config.files import require_files
from edge.config.load import load_config
from edge.system.ending import Stop, heeding_signals
from edge.system.private import keep_to_ourselves


def run(
    config: Annotated[Path, typer.Argument(help="Configuration file (docs/config.md).")],
) -> None:
    """Watch the cameras and publish, until SIGTERM.

    Example: `edge run /etc/edge/edge.yaml`
    """
    keep_to_ourselves()
    stop, wake = Stop(), threading.Event()
    with heeding_signals(stop, wake):
        settings = load_config(config)
        require_files(config, settings)
        app.run(settings, stop, wake)
