"""The command ``edge alerts``: prints the alerts that the broker delivers."""

from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from edge.cli.commands.broker_options import (
    CaOption,
    ConfigOption,
    HostOption,
    PortOption,
    PrefixOption,
    UsernameOption,
    broker_of,
)
from edge.cli.shown import alert_line, json_line
from edge.config.load import load_config
from edge.delivery.client import subscribe
from edge.delivery.payloads import AlertPayload
from edge.system.visible import printable


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
    """Subscribe to all alerts and print them, one a line, in local time.

    Examples: `edge alerts --config edge.yaml`, `edge alerts --host nvr.example --json`.
    Options count before --config. The password of --username, if any, comes from the variable
    EDGE_MQTT_PASSWORD.
    """
    configured = load_config(config).mqtt if config else None
    broker = broker_of(configured, host=host, port=port, username=username, ca=ca, prefix=prefix)
    console = Console(highlight=False)
    topics = f"{broker.topic_prefix}/+/+/alert"

    def waiting() -> None:
        typer.echo(f"connected to {broker.host}:{broker.port}, waiting on {topics}", err=True)

    shown = 0
    for message in subscribe(broker, [topics], listening=waiting):
        try:
            payload = AlertPayload.model_validate_json(message.payload)
        except ValidationError:
            typer.echo(f"not an alert on {printable(message.topic)}, ignored", err=True)
            continue
        if as_json:
            typer.echo(json_line(message.payload))
        else:
            console.print(alert_line(payload), soft_wrap=True)
        shown += 1
        if shown == count:
            return
