"""Translates what a broker says when it refuses or ends a connection into errors."""

from typing import Final

from paho.mqtt.reasoncodes import ReasonCode

from edge.errors import PublishError

_UNSUPPORTED_VERSION: Final = 0x84
# Temporary reason codes: server unavailable, server busy, connection rate exceeded.
_PASSING: Final = {0x88, 0x89, 0x9F}


class Refused(PublishError):
    """The broker answered with a refusal, so an early new attempt is useless."""


class WrongProtocol(PublishError):
    """The broker does not speak this version of MQTT, or did not answer at all."""


def refusal(where: str, protocol: str, code: ReasonCode) -> PublishError:
    """Error that a CONNACK with a failure code means.

    Args:
        where: Host and port of the broker.
        protocol: MQTT version of our CONNECT.
        code: Reason code of the CONNACK.
    """
    text = f"broker {where} refuses the connection: {code}"
    if code.value == _UNSUPPORTED_VERSION:
        return WrongProtocol(f"{text} (MQTT {protocol}); set mqtt.protocol")
    if code.value in _PASSING:
        return PublishError(text)
    return Refused(f"{text}; check mqtt.username, mqtt.password, mqtt.client_id")


def taken_over(where: str) -> Refused:
    """Error of a connection that the broker ended because another client has the same id."""
    return Refused(
        f"broker {where} gave our session to another client of the same id: give each device its"
        " own device.id or mqtt.client_id"
    )


def hung_up(where: str, why: str) -> WrongProtocol:
    """Error of a connection that the broker closed before its CONNACK."""
    return WrongProtocol(
        f"broker {where} hung up before its CONNACK ({why}): it may want TLS, a client certificate"
        " or another version of MQTT"
    )
