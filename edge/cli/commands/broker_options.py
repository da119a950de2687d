"""Defines the broker options that several commands share, and reads them."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import SecretStr, ValidationError

from edge.config.models import MqttConfig, TlsConfig
from edge.errors import ConfigError
from edge.system.redact import register_secret

PASSWORD_VARIABLE = "EDGE_MQTT_PASSWORD"  # noqa: S105  a variable's name, not a password

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Take the broker from this configuration.")
]
HostOption = Annotated[
    str | None,
    typer.Option("--host", help="The broker. [default: that of --config, or localhost]"),
]
PortOption = Annotated[
    int | None, typer.Option("--port", help="Its port. [default: that of --config, or 1883]")
]
UsernameOption = Annotated[
    str | None,
    typer.Option("--username", help="User at the broker. [default: that of --config, or none]"),
]
CaOption = Annotated[
    Path | None, typer.Option("--ca", help="Certificate authority; switches TLS on.")
]
PrefixOption = Annotated[
    str | None,
    typer.Option("--prefix", help="First topic level. [default: that of --config, or edge]"),
]


def broker_of(
    configured: MqttConfig | None,
    *,
    host: str | None = None,
    port: int | None = None,
    username: str | None = None,
    ca: Path | None = None,
    prefix: str | None = None,
) -> MqttConfig:
    """Return the broker of a configuration, with what the options say in place of it.

    The password of ``username`` comes from EDGE_MQTT_PASSWORD: that of the configuration belongs to
    another user.

    Raises:
        ConfigError: An option is invalid.
    """
    said: dict[str, Any] = {"host": host, "port": port, "topic_prefix": prefix}
    values = {
        **({"host": "localhost"} if configured is None else dict(configured)),
        **{name: value for name, value in said.items() if value is not None},
    }
    if configured is None or username is not None:
        values |= _login(username)
    if ca is not None:
        tls = values.get("tls") or TlsConfig()
        values["tls"] = tls.model_copy(update={"ca": ca})
    try:
        return MqttConfig(**values)
    except ValidationError as exc:
        problems = "; ".join(f"{error['loc'][0]}: {error['msg']}" for error in exc.errors())
        raise ConfigError(f"the broker's options: {problems}") from None


def _login(username: str | None) -> dict[str, Any]:
    password = os.environ.get(PASSWORD_VARIABLE)
    if password:
        register_secret(password)
        if username is None:
            raise ConfigError(f"expected --username beside the variable {PASSWORD_VARIABLE}")
    return {"username": username, "password": SecretStr(password) if password else None}
