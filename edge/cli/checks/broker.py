"""Checks that the broker accepts this device."""

import secrets
from typing import Final

from edge.cli.checks.result import CheckResult, failure
from edge.config.models import MqttConfig
from edge.delivery.mqtt.dialer import connect
from edge.errors import EdgeError

_LOOPBACK: Final = {"localhost", "127.0.0.1", "::1"}


def check_broker(config: MqttConfig) -> CheckResult:
    """Connect to the broker, with another client id, so that the daemon keeps its session."""
    try:
        with connect(config, f"edge-check-{secrets.token_hex(4)}") as connection:
            protocol = connection.protocol
    except EdgeError as exc:
        return failure("broker", exc)
    security = "TLS, its certificate verified" if config.tls else "not encrypted"
    remarks = []
    if config.password and not config.tls and config.host not in _LOOPBACK:
        remarks.append("set mqtt.tls: the password travels in the clear")
    return CheckResult(
        "broker", f"{config.host}:{config.port}, MQTT {protocol}, {security}", tuple(remarks)
    )
