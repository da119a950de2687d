"""``edge alerts``: what the broker has, on a terminal."""

import os
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr, ValidationError
from rich.console import Console
from rich.text import Text

from edge.config.load import load_config
from edge.config.models import MqttConfig, TlsConfig
from edge.errors import ConfigError
from edge.payloads import AlertPayload
from edge.redact import register_secret
from edge.subscribe import subscribe

PASSWORD_VARIABLE = "EDGE_MQTT_PASSWORD"  # noqa: S105  a name, no password

_COLOURS = {"start": "bold red", "update": "yellow", "end": "green"}


def alerts(
    config: Annotated[
        Path | None, typer.Option(help="Take the broker from this configuration.")
    ] = None,
    host: Annotated[str, typer.Option(help="The broker.")] = "localhost",
    port: Annotated[int, typer.Option(help="Its port.")] = 1883,
    username: Annotated[str | None, typer.Option(help="User at the broker.")] = None,
    ca: Annotated[Path | None, typer.Option(help="Certificate authority; switches TLS on.")] = None,
    prefix: Annotated[str, typer.Option(help="First topic level.")] = "edge",
    count: Annotated[int, typer.Option(help="End after so many alerts; 0 never.", min=0)] = 0,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON payload per line.")] = False,
) -> None:
    """Subscribe to all alerts and print them.

    Examples: `edge alerts --config edge.yaml`, `edge alerts --host nvr.example --json`.
    The password, if any, comes from the variable EDGE_MQTT_PASSWORD.
    """
    broker = load_config(config).mqtt if config else _broker(host, port, username, ca, prefix)
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


def _broker(host: str, port: int, username: str | None, ca: Path | None, prefix: str) -> MqttConfig:
    password = os.environ.get(PASSWORD_VARIABLE)
    if password:
        register_secret(password)
    try:
        return MqttConfig(
            host=host,
            port=port,
            username=username,
            password=SecretStr(password) if password and username else None,
            tls=TlsConfig(ca=ca) if ca else None,
            topic_prefix=prefix,
        )
    except ValidationError as exc:
        problems = "; ".join(f"{error['loc'][0]}: {error['msg']}" for error in exc.errors())
        raise ConfigError(f"the broker's options: {problems}") from None


def _line(alert: AlertPayload) -> Text:
    seconds = "" if alert.ended_at is None else f" after {alert.ended_at - alert.started_at}"
    return Text.assemble(
        f"{alert.at.astimezone():%H:%M:%S} ",
        (f"{alert.type:6}", _COLOURS[alert.type]),
        f" {alert.device}/{alert.camera} {alert.prompt.id}: {alert.prompt.text!r} ",
        f"margin {alert.margin:+.3f} over {alert.threshold:.3f}{seconds}",
    )
