"""The command ``edge health``: says whether the daemon of this box is well."""

import time
from pathlib import Path
from typing import Annotated

import typer

from edge.cli.commands.state_options import CONFIG, ConfigArgument
from edge.config.load import read_state_dir
from edge.system.health import SOCKET, DaemonHealth, ask

_AGAIN_S = 0.25


def health(
    config: ConfigArgument = CONFIG,
    *,
    wait: Annotated[
        float, typer.Option(min=0, help="Ask again for so many seconds, until it is healthy.")
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Ask the daemon of this box whether it is well; exit code 0 if it is, 1 if not.

    It is where its model embedded the golden frames as it should, and its loop goes on. A camera or
    a broker that is away does not count, as no restart and no other version would bring it back.

    Examples: `edge health`, `edge health --wait 120`, `edge health --json`

    The loop itself answers, within 10 seconds. Run this as root or as the daemon's user.
    """
    answer = _await(read_state_dir(config) / SOCKET, wait)
    if as_json:
        typer.echo(answer.model_dump_json())
    elif answer.problem is None:
        typer.echo(
            f"healthy: {answer.model}, golden frames embedded {answer.proven_s:.0f} s ago,"
            f" up for {answer.uptime_s:.0f} s, "
            f"{'connected to the broker' if answer.connected else 'not connected to the broker'}"
        )
    else:
        typer.echo(f"not healthy: {answer.problem}")
    raise typer.Exit(0 if answer.healthy else 1)


def _await(path: Path, wait_s: float) -> DaemonHealth:
    deadline = time.monotonic() + wait_s
    answer = ask(path)
    while not answer.healthy and time.monotonic() < deadline:
        time.sleep(_AGAIN_S)
        answer = ask(path)
    return answer
