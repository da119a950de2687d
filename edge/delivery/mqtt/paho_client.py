"""Sets up the paho client: protocol, TLS, credentials, last will, properties."""

import ssl
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Literal, cast

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge.config.files import pem_problem
from edge.config.models import MqttConfig, TlsConfig
from edge.delivery.message import Message, Received
from edge.delivery.mqtt.publish_packet import read_publish
from edge.errors import ConfigError, PublishError
from edge.system.redact import register_secret

# Length of a PUBACK that is a packet's number alone, or has a reason code too; the first code that
# is a refusal, and what all others come to.
_NUMBER: Final = 2
_CODED: Final = 3
_FAILURE: Final = 0x80
_SUCCESS: Final = ReasonCode(PacketTypes.PUBACK)


class LimitedClient(mqtt.Client):
    """The client of paho, with what no public method of it can stand for.

    It ends the connection over a packet that is too large, because a broker of MQTT 3.1.1 cannot be
    asked to send none; it pings when asked to; messages are read by ``read_publish``; and a PUBACK
    that has nothing to say is taken in a tenth of the time.

    Attributes:
        largest: Size in bytes of the largest packet that we take; None takes any.
        receiver: Called with each message.
    """

    largest: int | None = None
    receiver: Callable[[Received], None]

    def ping(self) -> None:
        """Send a PINGREQ."""
        self._send_pingreq()

    @property
    def pinging(self) -> bool:
        """Whether a PINGREQ has no answer yet."""
        return self._ping_t > 0

    def _handle_publish(self) -> MQTTErrorCode:
        packet = self._in_packet
        number, received = read_publish(
            packet["command"], bytes(packet["packet"]), mqtt5=self._protocol == mqtt.MQTTv5
        )
        if received is not None:
            self.receiver(received)
        return MQTTErrorCode.MQTT_ERR_SUCCESS if number is None else self._send_puback(number)

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        packet = self._in_packet["packet"]
        bare = len(packet) == _NUMBER or (len(packet) == _CODED and packet[-1] < _FAILURE)
        if cmd != "PUBACK" or not bare or self.on_publish is None:
            return super()._handle_pubackcomp(cmd)
        (number,) = struct.unpack_from("!H", packet)
        if self._out_messages.pop(number, None) is not None:
            self._inflight_messages -= 1
            cast("Callable[..., None]", self.on_publish)(self, None, number, _SUCCESS, None)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _sock_recv(self, bufsize: int) -> bytes:
        if self.largest is not None and bufsize > self.largest:
            raise PublishError(
                f"broker {self.host}:{self.port}: expected packets of up to {self.largest} bytes,"
                f" found one of {bufsize}"
            )
        return super()._sock_recv(bufsize)


def make_client(
    config: MqttConfig,
    client_id: str,
    will: Message | None,
    version: MQTTProtocolVersion,
    largest: int | None = None,
) -> LimitedClient:
    """Make a client with a clean session that is not connected yet.

    Args:
        config: Address of the broker and credentials.
        client_id: Our name at the broker.
        will: Message that the broker publishes when it loses us.
        version: MQTT version.
        largest: Size in bytes of the largest packet that we take; None takes any.

    Raises:
        ConfigError: The TLS files are unusable.
    """
    client = LimitedClient(
        CallbackAPIVersion.VERSION2,
        client_id,
        clean_session=None if version is MQTTProtocolVersion.MQTTv5 else True,
        protocol=version,
        reconnect_on_failure=False,
    )
    client.largest = largest
    client.max_inflight_messages_set(0)  # the connection's owner limits the window
    if config.tls is not None:
        client.tls_set_context(tls_context(config.tls))
    if config.username is not None:
        password = config.password.get_secret_value() if config.password else None
        if password:
            register_secret(password)
        client.username_pw_set(config.username, password)
    if will:
        client.will_set(will.topic, will.payload, will.qos, will.retain)
    return client


def tls_context(tls: TlsConfig) -> ssl.SSLContext:
    """Make the TLS context of ``mqtt.tls``; it verifies the broker and sends our certificate.

    Raises:
        ConfigError: A file is missing or has the wrong content.
    """
    for name, path in (("ca", tls.ca), ("cert", tls.cert), ("key", tls.key)):
        if path is not None and (problem := pem_problem(path)):
            raise ConfigError(f"mqtt.tls.{name}: {problem}")
    try:
        context = ssl.create_default_context(cafile=tls.ca)
    except OSError as exc:
        raise ConfigError(f"mqtt.tls.ca: expected PEM certificates in {tls.ca}: {exc}") from exc
    if tls.cert:
        try:
            # Without this argument, OpenSSL would ask for a password on the terminal.
            context.load_cert_chain(tls.cert, tls.key, password="")
        except OSError as exc:
            if isinstance(exc, ssl.SSLError) and exc.reason == "KEY_VALUES_MISMATCH":
                raise ConfigError(f"mqtt.tls.key: {tls.key} is not the key of {tls.cert}") from exc
            raise ConfigError(
                f"mqtt.tls.cert, mqtt.tls.key: expected a PEM certificate and its unencrypted key"
                f" in {tls.cert} and {tls.key or tls.cert}: {exc}"
            ) from exc
    return context


def connect_properties(largest: int | None) -> Properties:
    """Make the MQTT 5 properties of a CONNECT.

    Args:
        largest: Size in bytes of the largest packet that the broker may send; None: any.
    """
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    if largest is not None:
        properties.MaximumPacketSize = largest
    return properties


def publish_properties(message: Message) -> Properties:
    """MQTT 5 properties of a message. The object is shared: do not change it."""
    if message.correlation is None:
        return _shared(message.content_type, message.schema, message.expiry_s)
    properties = _properties(message.content_type, message.schema, message.expiry_s)
    properties.CorrelationData = message.correlation
    return properties


def _properties(content_type: str, schema: str | None, expiry_s: int | None) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType = content_type
    if content_type in {"application/json", "text/plain"}:
        properties.PayloadFormatIndicator = 1  # UTF-8
    if schema:
        properties.UserProperty = ("schema", schema)
    if expiry_s is not None:
        properties.MessageExpiryInterval = expiry_s
    return properties


class _Written(Properties):
    """Properties in bytes; paho takes 40 us to build them, and 80 us to write them each time."""

    def __init__(self, properties: Properties) -> None:
        super().__init__(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        self.__dict__["bytes"] = properties.pack()  # type: ignore[no-untyped-call]

    def pack(self) -> bytes:
        written: bytes = self.__dict__["bytes"]
        return written


@lru_cache(maxsize=64)
def _shared(content_type: str, schema: str | None, expiry_s: int | None) -> Properties:
    return _Written(_properties(content_type, schema, expiry_s))


def packet_size(message: Message) -> int:
    """Upper bound of the MQTT 5 packet's size in bytes, for the broker's maximum packet size."""
    properties: bytes = publish_properties(message).pack()  # type: ignore[no-untyped-call]
    # Fixed header (5), length of the topic (2), packet number (2).
    return 5 + 2 + 2 + len(message.topic.encode()) + len(properties) + len(message.payload)
