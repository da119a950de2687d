"""Translates what a broker says when it refuses or ends a connection into errors."""

import ssl
from typing import Final

from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge.config.models import MqttConfig
from edge.delivery.mqtt.terms import Feature
from edge.errors import PublishError
from edge.system.redact import redact
from edge.system.visible import printable

_UNSUPPORTED_VERSION: Final = 0x84
_SESSION_TAKEN_OVER: Final = 0x8E
# Client id not valid, bad user name or password, not authorised, banned, bad method.
_CREDENTIALS: Final = {0x85, 0x86, 0x87, 0x8A, 0x8C}
# Temporary reason codes: server unavailable, server busy, connection rate exceeded.
_PASSING: Final = {0x88, 0x89, 0x9F}
_UNSUPPORTED: Final[dict[int, Feature]] = {0x9A: "retain", 0x9B: "qos", 0xA2: "wildcards"}
# What OpenSSL says of a peer that answers a TLS greeting with something else, or hangs up on it.
_NO_TLS: Final = {
    "WRONG_VERSION_NUMBER",
    "RECORD_LAYER_FAILURE",
    "PACKET_LENGTH_TOO_LONG",
    "UNEXPECTED_EOF_WHILE_READING",
    "HTTP_REQUEST",
}
_TLS_RECORDS: Final = (b"\x15\x03", b"\x16\x03")
# First half of the first byte of what a broker may say first: CONNACK, DISCONNECT, AUTH.
_FIRST_PACKETS: Final = {2, 14, 15}
_LONGEST_REASON: Final = 200
_TLS_PORT: Final = 8883


class Refused(PublishError):
    """The broker answered with a refusal, so an early new attempt is useless."""


class SubscriptionRefused(Refused):
    """The broker forbids some subscriptions; the connection goes on."""


class Unsupported(PublishError):
    """The broker has not what a packet of ours asked for; the connection is possible without it.

    Attributes:
        feature: What it has not.
    """

    def __init__(self, text: str, feature: Feature) -> None:
        super().__init__(text)
        self.feature = feature


class Unsendable(PublishError):
    """A message of ours that no packet can hold, such as one on a topic with wildcards."""


class Lost(PublishError):
    """The connection broke, and nobody said why."""


class WrongProtocol(PublishError):
    """The broker does not speak this version of MQTT, or did not answer at all.

    Attributes:
        said: Whether the broker said so.
    """

    def __init__(self, text: str, *, said: bool = False) -> None:
        super().__init__(text)
        self.said = said


class Silent(WrongProtocol):
    """The broker has not answered a CONNECT yet."""


def in_words(code: ReasonCode, properties: Properties | None) -> str:
    """Return a reason code with what the broker adds: its own words, another server's name."""
    words = str(code)
    if reason := getattr(properties, "ReasonString", ""):
        words += f" ({_printable(reason)})"
    if server := getattr(properties, "ServerReference", ""):
        words += f"; it names another server for mqtt.host: {_printable(server)}"
    return words


def unreachable(where: str, error: Exception, config: MqttConfig) -> PublishError:
    """Error of a network connection or a TLS handshake that failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return PublishError(
            f"broker {where}: its certificate is not trusted ({error.verify_message}):"
            " check mqtt.tls.ca, mqtt.host and this machine's clock"
        )
    if isinstance(error, ssl.SSLError):
        no_tls = error.reason in _NO_TLS or isinstance(error, ssl.SSLEOFError)
    else:
        no_tls = config.tls is not None and (
            isinstance(error, ConnectionResetError) or "handshake" in str(error)
        )
    if no_tls:
        return PublishError(
            f"broker {where} does not answer in TLS ({error}): set mqtt.port to its port for TLS"
            f" ({_TLS_PORT} is usual), or remove mqtt.tls"
        )
    if isinstance(error, ssl.SSLError):
        return PublishError(f"broker {where} refuses TLS: {error}; check mqtt.tls")
    return PublishError(f"broker {where} is unreachable: {error}")


def stranger(where: str, first: bytes) -> Refused | None:
    """Error of a peer whose first bytes are not MQTT; None where they are."""
    if not first or first[0] >> 4 in _FIRST_PACKETS:
        return None
    if first.startswith(_TLS_RECORDS):
        return Refused(f"broker {where} speaks TLS: set mqtt.tls")
    return Refused(
        f"broker {where} does not speak MQTT (its answer begins with {first!r}): check mqtt.port,"
        " which may be one for websockets"
    )


def silent(where: str, timeout_s: float) -> Silent:
    """Error of a broker that does not answer a CONNECT."""
    # Some brokers that speak only 3.1.1 do not answer a CONNECT of MQTT 5.
    return Silent(f"broker {where} sent no CONNACK in {timeout_s:g} s")


def garbled(where: str) -> WrongProtocol:
    """Error of a broker whose answer to a CONNECT breaks the protocol."""
    return WrongProtocol(
        f"broker {where} answers our CONNECT with a packet that breaks the protocol: set"
        " mqtt.protocol to another version, or update the broker"
    )


def refusal(
    where: str, protocol: str, code: ReasonCode, properties: Properties | None
) -> PublishError:
    """Error that a CONNACK with a failure code means.

    Args:
        where: Host and port of the broker.
        protocol: MQTT version of our CONNECT.
        code: Reason code of the CONNACK.
        properties: Properties of the CONNACK.
    """
    text = f"broker {where} refuses the connection: {in_words(code, properties)}"
    if code.value == _UNSUPPORTED_VERSION:
        return WrongProtocol(f"{text} (MQTT {protocol}); set mqtt.protocol", said=True)
    if feature := _UNSUPPORTED.get(code.value):
        return Unsupported(text, feature)
    if code.value in _PASSING:
        return PublishError(text)
    if code.value in _CREDENTIALS:
        text += "; check mqtt.username, mqtt.password, mqtt.client_id"
    return Refused(text)


def ended(where: str, code: ReasonCode, properties: Properties | None) -> PublishError:
    """Error of a connection that the broker ended with a DISCONNECT."""
    if code.value == _SESSION_TAKEN_OVER:
        return Refused(
            f"broker {where} gave our session to another client of the same id: give each device"
            " its own device.id or mqtt.client_id"
        )
    text = f"broker {where} ended the connection: {in_words(code, properties)}"
    if feature := _UNSUPPORTED.get(code.value):
        return Unsupported(text, feature)
    return PublishError(text)


def hung_up(where: str, why: str, config: MqttConfig) -> WrongProtocol:
    """Error of a connection that the broker closed before its CONNACK."""
    if config.tls is None:
        wish = "TLS (mqtt.tls)"
        wish += ", which is usual on this port," if config.port == _TLS_PORT else ""
    else:
        wish = "another" if config.tls.cert else "a"
        wish += " client certificate (mqtt.tls.cert)"
    return WrongProtocol(
        f"broker {where} hung up before its CONNACK ({why}): it may want {wish}, another version"
        " of MQTT, or a last will that is not retained"
    )


def _printable(text: str) -> str:
    """Return a broker's words as one short line."""
    return redact(printable(text)[:_LONGEST_REASON])
