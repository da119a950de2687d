"""The command ``edge-flash deb``: builds the Debian packages."""

from pathlib import Path
from typing import Annotated

import typer

import deploy
from deploy.deb.build import build, time_of_source

_PROJECT = Path(deploy.__file__).resolve().parents[1]


def deb(
    out: Annotated[Path, typer.Option(help="Folder for the packages.")] = Path("build/deb"),
    arch: Annotated[str, typer.Option(help="Processor: amd64 or arm64.")] = "amd64",
    wheels: Annotated[
        Path | None,
        typer.Option(help="Folder of wheels. [default: fetched once, below the folder]"),
    ] = None,
) -> None:
    """Build the Debian packages of the runtime.

    Example: `edge-flash deb --arch arm64 --wheels wheels-arm64`
    """
    for package in build(_PROJECT, out, arch, wheels, time_of_source(_PROJECT)):
        typer.echo(package)
