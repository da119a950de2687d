"""The command ``edge-flash deb``: builds the Debian packages."""

from pathlib import Path
from typing import Annotated

import typer

import deploy
from deploy.deb.build import build, time_of_source
from deploy.wheelhouse.target import target_of
from edge.errors import ConfigError

_PROJECT = Path(deploy.__file__).resolve().parents[1]


def deb(
    out: Annotated[Path, typer.Option(help="Folder for the packages.")] = Path("build/deb"),
    arch: Annotated[str, typer.Option(help="Processor: amd64 or arm64.")] = "amd64",
    system: Annotated[
        str, typer.Option("--for", help="System: debian-12 or jetpack-7.")
    ] = "debian-12",
    wheels: Annotated[
        Path | None,
        typer.Option(help="Folder of wheels. [default: fetched once, below the folder]"),
    ] = None,
) -> None:
    """Build the Debian packages of the runtime.

    Example: `edge-flash deb --arch arm64 --wheels wheels-arm64`
    """
    if system == "jetpack-6":
        raise ConfigError(
            "--for jetpack-6: expected debian-12 or jetpack-7, as the unit needs systemd 250 and "
            "JetPack 6 has 249; install from the wheels (docs/jetson.md)"
        )
    target = target_of(system, arch)
    for package in build(_PROJECT, out, target, wheels, time_of_source(_PROJECT)):
        typer.echo(package)
