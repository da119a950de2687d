"""The command ``edge retire``: removes what a box that is gone left at the broker."""

from typing import Annotated

import typer

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
from edge.config.models import HomeAssistantConfig
from edge.control.announce.homeassistant import discovery_topic
from edge.delivery.retire import retire as remove_all
from edge.delivery.topics import Topics
from edge.errors import ConfigError


def retire(
    config: ConfigOption = None,
    device: Annotated[
        str | None, typer.Option(help="The box's device.id. [default: that of --config]")
    ] = None,
    host: HostOption = None,
    port: PortOption = None,
    username: UsernameOption = None,
    ca: CaOption = None,
    prefix: PrefixOption = None,
    discovery_prefix: Annotated[
        str | None,
        typer.Option(help="Home Assistant's. [default: that of --config, or homeassistant]"),
    ] = None,
) -> None:
    """Remove all retained messages of a box that is gone, and its device in Home Assistant.

    The box must be off. A former name of a box that goes on is removed with --device or --prefix.

    Examples: `edge retire --config edge.yaml`,
    `edge retire --host broker.example --device nvr-01`

    Options count before --config. The password of --username, if any, comes from the variable
    EDGE_MQTT_PASSWORD.
    """
    configured, home = None, HomeAssistantConfig()
    if config is not None:
        settings = load_config(config)
        configured, home = settings.mqtt, settings.homeassistant
        device = device or settings.device.id
    broker = broker_of(configured, host=host, port=port, username=username, ca=ca, prefix=prefix)
    if device is None:
        raise ConfigError("expected the name of a box, found none: give --device or --config")
    topics = Topics(broker.topic_prefix, device)
    if discovery_prefix is not None:
        home = home.model_copy(update={"prefix": discovery_prefix})
    for level in (*topics.levels, home.prefix):
        if not level or set(level) & set("+#"):
            raise ConfigError(f"expected names without '+' and '#', found {level!r}")
    removed = remove_all(broker, topics, [discovery_topic(home, topics)])
    typer.echo(f"{removed} retained messages of {device} removed")
