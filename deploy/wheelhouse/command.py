"""The command ``edge-flash wheelhouse``."""

from pathlib import Path
from typing import Annotated

import typer

from deploy.wheelhouse.download import download
from deploy.wheelhouse.target import target_of
from edge.errors import ConfigError
from edge.system.command_line import needing

_PROJECT = Path(__file__).resolve().parents[2]


def wheelhouse(
    out: Annotated[Path, typer.Option(help="Folder for the wheels.")],
    arch: Annotated[str, typer.Option(help="Processor: arm64 or amd64.")] = "arm64",
    system: Annotated[
        str, typer.Option("--for", help="System: debian-12, jetpack-6 or jetpack-7.")
    ] = "debian-12",
    *,
    audit_only: Annotated[
        bool, typer.Option("--audit", help="Only check the wheels that are there.")
    ] = False,
) -> None:
    """Fetch the runtime's wheels for a box, and prove that the box can load them.

    Example: `edge-flash wheelhouse --arch arm64 --out build/wheels`
    """
    target = target_of(system, arch)
    if not audit_only:
        download(_PROJECT, target, out)
    elif not out.is_dir():
        raise ConfigError(f"{out}: expected a folder of wheels, found none")
    with needing(["elftools", "packaging"], "reads the wheels", "deploy"):
        from deploy.wheelhouse.audit import audit  # noqa: PLC0415  belongs to an extra

    found = audit(out, target)
    needed = ", ".join(f"{name} {_dotted(version)}" for name, version in found.needed.items())
    typer.echo(f"{out}: {found.wheels} wheels, {found.libraries} libraries, need {needed}")
    if found.faults:
        raise ConfigError("\n".join([f"{out}: {system} {arch} cannot load it:", *found.faults]))


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
