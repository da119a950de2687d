"""The commands ``edge backup`` and ``edge restore``."""

from pathlib import Path
from typing import Annotated

import typer

from edge.backup.make import back_up
from edge.backup.restore import restore as restore_all
from edge.cli.commands.state_options import CONFIG

_ConfigOption = Annotated[Path, typer.Option(help="Configuration file of the daemon.")]


def backup(
    file: Annotated[Path, typer.Argument(help="File to write; a former one is replaced.")],
    *,
    config: _ConfigOption = CONFIG,
    index: Annotated[bool, typer.Option("--index", help="With the index for the search.")] = False,
) -> None:
    """Back this box up into one file, also while its daemon runs.

    It has the configuration, `secrets.yaml`, credentials and certificates beside it, learned
    thresholds, rules set over MQTT, feedback, and the messages that wait for the broker.

    Examples: `edge backup /media/stick/nvr-01.edge-backup`, `edge backup nvr-01.backup --index`

    The file holds passwords and keys, and nothing encrypts it: keep it where only you can read it.
    The model is not in it.
    """
    done = back_up(config, file, index=index)
    manifest = done.manifest
    typer.echo(
        f"{manifest.device}: {len(manifest.files)} files, {done.size / 1e6:.1f} MB in {file}."
        " It holds passwords and keys: keep it safe."
    )
    for path in done.elsewhere:
        typer.echo(f"not in it, as it is not beside {config.name}: {path}")


def restore(
    file: Annotated[Path, typer.Argument(help="Backup that `edge backup` made.")],
    *,
    config: _ConfigOption = CONFIG,
    become: Annotated[
        str | None,
        typer.Option(help="The backup's device.id, where this box has another one now."),
    ] = None,
) -> None:
    """Restore a backup on this box, or on the one that takes the place of a dead one.

    The daemon must not run. All is checked before anything changes; the former files are kept in
    folders beside the new ones. Where it is interrupted no daemon starts: run it again.

    Examples: `edge restore nvr-01.edge-backup`, `edge restore nvr-01.edge-backup --become nvr-01`
    """
    done = restore_all(file, config, become=become)
    manifest = done.manifest
    typer.echo(
        f"{manifest.device}, as of {manifest.made_at:%Y-%m-%d %H:%M} UTC:"
        f" {len(manifest.files)} files restored."
    )
    for folder in done.aside:
        typer.echo(f"the former files are in {folder}: remove it when all is well")
    typer.echo(f"next: edge check {config}, then start the daemon")
