"""The argument of the commands that work on the box's own configuration and state."""

from pathlib import Path
from typing import Annotated, Final

import typer

CONFIG: Final = Path("/etc/edge/edge.yaml")
"""Path of the configuration that packages and images install."""

ConfigArgument = Annotated[
    Path,
    typer.Argument(metavar="[FILE]", help="Configuration file of the daemon."),
]
