"""Defines the broker options that several commands share, and reads them."""

import os
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr, ValidationError

from edge.config.models import MqttConfig, TlsConfig
from edge.errors import ConfigError
from edge.system.redact import register_secret

PASSWORD_VARIABLE = "EDGE_MQTT_PASSWORD"  # noqa: S105  a variable's name, not a password

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Take the broker from this configuration.")
]
HostOption = Annotated[str, typer.Option("--host", help="The broker.")]
PortOption = Annotated[int, typer.Option("--port", help="Its port.")]
UsernameOption = Annotated[str | None, typer.Option("--username", help="User at the broker.")]
CaOption = Annotated[
    Path | None, typer.Option("--ca", help="Certificate authority; switches TLS on.")
]
PrefixOption = Annotated[str, typer.Option("--prefix", help="First topic level.")]


def broker_at(
    host: str, port: int, username: str | None, ca: Path | None, prefix: str
) -> MqttConfig:
    """Return the broker that these options name; the password comes from EDGE_MQTT_PASSWORD.

    Raises:
        ConfigError: An option is invalid.
    """
    password = os.environ.get(PASSWORD_VARIABLE)
    if password:
        register_secret(password)
        if username is None:
            raise ConfigError(f"expected --username beside the variable {PASSWORD_VARIABLE}")
    try:
        return MqttConfig(
            host=host,
            port=port,
            username=username,
            password=SecretStr(password) if password else None,
            tls=TlsConfig(ca=ca) if ca else None,
            topic_prefix=prefix,
        )
    except ValidationError as exc:
        problems = "; ".join(f"{error['loc'][0]}: {error['msg']}" for error in exc.errors())
        raise ConfigError(f"the broker's options: {problems}") from None
