"""The command ``edge alerts``: prints the alerts that the broker delivers."""

from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from edge.cli.commands.broker_options import (
    CaOption,
    ConfigOption,
    HostOption,
    PortOption,
    PrefixOption,
    UsernameOption,
    broker_of,
)
from edge.config.load import load_config
from edge.delivery.client import subscribe
from edge.delivery.payloads import AlertPayload

_COLOURS = {"start": "bold red", "update": "yellow", "end": "green"}


def alerts(
    config: ConfigOption = None,
    host: HostOption = None,
    port: PortOption = None,
    username: UsernameOption = None,
    ca: CaOption = None,
    prefix: PrefixOption = None,
    count: Annotated[int, typer.Option(help="End after so many alerts; 0 never.", min=0)] = 0,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON payload per line.")] = False,
) -> None:
    """Subscribe to all alerts and print them.

    Examples: `edge alerts --config edge.yaml`, `edge alerts --host nvr.example --json`.
    Options count before --config. The password of --username, if any, comes from the variable
    EDGE_MQTT_PASSWORD.
    """
    configured = load_config(config).mqtt if config else None
    broker = broker_of(configured, host=host, port=port, username=username, ca=ca, prefix=prefix)
    console = Console(highlight=False)
    shown = 0
    for message in subscribe(broker, [f"{broker.topic_prefix}/+/+/alert"]):
        try:
            payload = AlertPayload.model_validate_json(message.payload)
        except ValidationError:
            typer.echo(f"not an alert on {message.topic}, ignored", err=True)
            continue
        if as_json:
            typer.echo(message.payload.decode())
        else:
            console.print(_line(payload))
        shown += 1
        if shown == count:
            return


def _line(alert: AlertPayload) -> Text:
    seconds = "" if alert.ended_at is None else f" after {alert.ended_at - alert.started_at}"
    seconds += " (interrupted)" if alert.interrupted else ""
    return Text.assemble(
        f"{alert.at.astimezone():%H:%M:%S} ",
        (f"{alert.type:6}", _COLOURS[alert.type]),
        f" {alert.device}/{alert.camera} {alert.prompt.id}: {alert.prompt.text!r} ",
        f"margin {alert.margin:+.3f} over {alert.threshold:.3f}{seconds}",
    )
