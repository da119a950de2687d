"""The command ``edge reload``: has the daemon of this machine read its configuration again."""

import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from edge.config.load import load_config
from edge.errors import ConfigError
from edge.resources import OUTBOX
from edge.system.holder import holding_process, owner


def reload(
    config: Annotated[Path, typer.Argument(help="Configuration file of the daemon.")],
) -> None:
    """Check the configuration, and have the daemon put its prompts and cameras into force.

    The other keys wait for a restart. What came of it is in the daemon's log, and under `errors` in
    the state of the device.

    Example: `edge reload /etc/edge/edge.yaml`
    """
    outbox = load_config(config).state_dir / OUTBOX
    try:
        process = holding_process(outbox)
    except OSError as exc:
        raise ConfigError(f"expected a running daemon, found none: {exc}") from exc
    if process is None:
        raise ConfigError(f"expected a running daemon, found none that holds {outbox}")
    try:
        os.kill(process, signal.SIGHUP)
    except OSError as exc:
        raise ConfigError(
            f"process {process} cannot be asked ({exc}); expected {owner(outbox)} or root to ask"
        ) from exc
    typer.echo(f"process {process} reads {config} again")
