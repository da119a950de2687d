"""The command ``edge support-bundle``: one file for support, without secrets."""

from pathlib import Path
from typing import Annotated

import typer

from edge.cli.commands.state_options import CONFIG
from edge.cli.support.bundle import write_bundle


def support_bundle(
    file: Annotated[Path, typer.Argument(help="File to write, such as nvr-01.tar.gz.")],
    *,
    config: Annotated[
        Path, typer.Option(help="Configuration file of the daemon; it may be broken.")
    ] = CONFIG,
    log: Annotated[
        list[Path] | None, typer.Option(help="A log to add, where the journal has none.")
    ] = None,
    check: Annotated[
        bool, typer.Option(help="Run `edge check`, which asks cameras and broker.")
    ] = True,
) -> None:
    """Collect what support needs to know of this box into one file, without its secrets.

    Versions, configuration, journal, kernel messages, `edge check`, `edge health`, files of the
    state folder. No picture, no alert, no password: those are masked, however they are written.

    Examples: `edge support-bundle nvr-01.tar.gz`, `edge support-bundle nvr-01.tar.gz --no-check`

    Run it as root, or it cannot read the journal. Look into the file before you send it.
    """
    names = write_bundle(file, config, log or [], check=check)
    typer.echo(f"{len(names)} files in {file}: {', '.join(names)}")
    typer.echo("secrets are masked; look into it before you send it")
