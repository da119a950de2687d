"""The command ``edge run``: runs the daemon in the foreground, as systemd expects."""

import logging
import threading
from pathlib import Path
from typing import Annotated

import typer

from edge import app
from edge.config.files import open_secrets, require_files
from edge.config.load import load_config
from edge.config.models import Config
from edge.control.reload import Reload
from edge.system.command_line import set_up_logging
from edge.system.ending import Stop, heeding_signals
from edge.system.private import keep_to_ourselves

logger = logging.getLogger(__name__)


def run(
    config: Annotated[Path, typer.Argument(help="Configuration file (docs/config.md).")],
) -> None:
    """Watch the cameras and publish, until SIGTERM.

    SIGHUP (`edge reload`) reads the file again: prompts and cameras change, and the cameras that
    stay as they were notice nothing.

    Example: `edge run /etc/edge/edge.yaml`
    """
    keep_to_ourselves()
    stop, wake = Stop(), threading.Event()
    reload = Reload(lambda: _read(config))
    with heeding_signals(stop, wake, reload=reload.ask):
        app.run(_read(config, start=True), stop, wake, reload=reload)


def _read(path: Path, *, start: bool = False) -> Config:
    config = load_config(path)
    if start:
        verbose = logging.getLogger().level == logging.DEBUG
        level = logging.DEBUG if verbose else getattr(logging, config.log.level.upper())
        set_up_logging(level, config.log.format)
    require_files(path, config)
    if (advice := open_secrets(path)) is not None:
        logger.warning("%s", advice)
    return config
