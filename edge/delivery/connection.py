"""One connection to the broker: MQTT 5, or 3.1.1 where the broker cannot; TLS; what it answered.

A ``Connection`` never reconnects. Whoever owns it opens the next one, and what was on the wire is
sent again from where it is kept (the outbox), not from the client library's memory: so a message
that breaks connections cannot be retransmitted for ever, and there is one place that knows what is
unacknowledged.
"""

import contextlib
import logging
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from paho.mqtt import client as mqtt
from paho.mqtt.enums import LogLevel, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge.config.models import MqttConfig
from edge.delivery.message import Message
from edge.delivery.paho_client import make_client, publish_properties
from edge.errors import PublishError
from edge.system.redact import redact

logger = logging.getLogger(__name__)

_CONNECT_S: Final = 5.0
# MQTT 5, section 3.2.2.3.3: what a broker takes that names no limit.
_RECEIVE_MAXIMUM: Final = 65_535

_UNSUPPORTED_VERSION: Final = 0x84
# Reason codes that pass by themselves: server unavailable, server busy, connection rate exceeded.
_PASSING: Final = {0x88, 0x89, 0x9F}
_SESSION_TAKEN_OVER: Final = 0x8E


class Refused(PublishError):
    """The broker answered and said no: not worth asking again soon."""


class _WrongProtocol(PublishError):
    """The broker does not speak this version of MQTT, or did not answer at all."""


class HasFileno(Protocol):
    def fileno(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A PUBACK: which packet, and whether the broker took it.

    Attributes:
        code: MQTT 5 reason code; 0x80 and above are refusals. Always 0 over 3.1.1.
        reason: The code in words.
    """

    packet: int
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Received:
    """A message that came in on a subscription.

    Attributes:
        retain: The broker had kept it: it was published before we subscribed.
        response: Topic on which an answer is wanted (MQTT 5); None where none is.
        correlation: What the answer shall give back beside its payload (MQTT 5).
    """

    topic: str
    payload: bytes
    retain: bool = False
    content_type: str | None = None
    response: str | None = None
    correlation: bytes | None = None


@contextlib.contextmanager
def connect(
    config: MqttConfig, client_id: str, will: Message | None = None
) -> Iterator["Connection"]:
    """Open a connection; leaving the block closes it (orderly, if it is still up).

    ``protocol: auto`` tries MQTT 5 first, each time: the broker may have been updated.

    Raises:
        PublishError: Unreachable, or lost inside the block.
        Refused: It answered and said no.
        ConfigError: The TLS files are unusable.
    """
    if config.protocol == "auto":
        try:
            connection = Connection(config, client_id, will, MQTTProtocolVersion.MQTTv5)
        except _WrongProtocol as exc:
            logger.debug("trying MQTT 3.1.1: %s", exc)
            connection = Connection(config, client_id, will, MQTTProtocolVersion.MQTTv311)
    else:
        versions = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}
        connection = Connection(config, client_id, will, versions[config.protocol])
    try:
        yield connection
    finally:
        connection.close()


class Connection:
    """An open connection, for one thread. Made by ``connect``.

    Attributes:
        protocol: ``"5"`` or ``"3.1.1"``.
        receive_maximum: QoS 1 messages that the broker takes without having acknowledged them.
        max_packet: Bytes of the largest packet it takes; None where it names no limit.
    """

    def __init__(
        self,
        config: MqttConfig,
        client_id: str,
        will: Message | None,
        version: MQTTProtocolVersion,
    ) -> None:
        self.protocol = "5" if version is MQTTProtocolVersion.MQTTv5 else "3.1.1"
        self.receive_maximum = _RECEIVE_MAXIMUM
        self.max_packet: int | None = None
        self._where = f"{config.host}:{config.port}"
        self._acknowledged: list[Acknowledged] = []
        self._received: deque[Received] = deque()
        self._connack: ReasonCode | None = None
        self._suback: list[ReasonCode] = []
        self._lost: PublishError | None = None
        self._detail = ""
        self._client = make_client(config, client_id, will, version)
        self._client.connect_timeout = _CONNECT_S
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.on_log = self._on_log
        self._open(config)

    def publish(self, message: Message) -> int | None:
        """Hand a message to the network.

        Returns:
            The packet number that ``acknowledged`` will name; None for QoS 0.
        """
        info = self._client.publish(
            message.topic,
            message.payload,
            message.qos,
            message.retain,
            publish_properties(message) if self.protocol == "5" else None,
        )
        return info.mid if message.qos else None

    def subscribe(self, filters: Sequence[str], qos: int = 1) -> None:
        """Subscribe, and wait for the broker's answer.

        Raises:
            Refused: It forbids one of the filters.
            PublishError: Connection lost, or no answer.
        """
        self._suback = []
        self._client.subscribe([(name, qos) for name in filters])
        self._poll_until(lambda: bool(self._suback), "SUBACK")
        for name, code in zip(filters, self._suback, strict=True):
            if code.is_failure:
                raise Refused(f"broker {self._where} refuses the subscription {name!r}: {code}")

    def poll(self, timeout_s: float, wake: HasFileno | None = None) -> None:
        """Move bytes both ways; returns after the first activity, ``wake``, or ``timeout_s``.

        Raises:
            PublishError: The connection is lost.
        """
        sock = self._client.socket()
        if sock is not None and not self._lost:
            # Bytes that TLS has already taken off the socket do not wake the poll.
            buffered = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
            poller = select.poll()
            write = select.POLLOUT if self._client.want_write() else 0
            poller.register(sock, select.POLLIN | write)
            if wake:
                poller.register(wake, select.POLLIN)
            events = dict(poller.poll(0 if buffered else timeout_s * 1000))
            happened = events.get(sock.fileno(), 0)
            if buffered or happened & ~select.POLLOUT:
                self._client.loop_read()
                _acknowledge_at_once(sock)
            if happened & select.POLLOUT:
                self._client.loop_write()
            self._client.loop_misc()
        if self._lost:
            raise self._lost

    def acknowledged(self) -> list[Acknowledged]:
        """The PUBACKs since the last call."""
        taken, self._acknowledged = self._acknowledged, []
        return taken

    def received(self) -> list[Received]:
        """The messages since the last call."""
        taken = list(self._received)
        self._received.clear()
        return taken

    def close(self) -> None:
        """Say DISCONNECT, so that the broker discards our will, and close."""
        self._client.on_disconnect = None
        self._client.disconnect()
        self._client.loop_write()
        if sock := self._client.socket():
            sock.close()

    def _open(self, config: MqttConfig) -> None:
        try:
            self._client.connect(config.host, config.port, round(config.keepalive))
        except ssl.SSLCertVerificationError as exc:
            raise PublishError(
                f"broker {self._where}: its certificate is not trusted ({exc.verify_message}):"
                " check mqtt.tls.ca, mqtt.host and this machine's clock"
            ) from exc
        except OSError as exc:
            raise PublishError(f"broker {self._where} is unreachable: {exc}") from exc
        if isinstance(sock := self._client.socket(), socket.socket):
            # Nagle's algorithm would hold a small message back until the last one's TCP ack.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._poll_until(lambda: self._connack is not None, "CONNACK")
            self._judge(self._connack)
        except PublishError:
            self.close()
            raise

    def _poll_until(self, done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _CONNECT_S
        while not done():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                # Some brokers of the old protocol fall silent over a CONNECT of the new one.
                raise _WrongProtocol(f"broker {self._where} sent no {what} in {_CONNECT_S:g} s")
            self.poll(remaining)

    def _judge(self, code: ReasonCode | None) -> None:
        """Raise what a CONNACK that says no means."""
        if code is None or not code.is_failure:
            return
        text = f"broker {self._where} refuses the connection: {code}"
        if code.value == _UNSUPPORTED_VERSION:
            raise _WrongProtocol(f"{text} (MQTT {self.protocol}); set mqtt.protocol")
        if code.value in _PASSING:
            raise PublishError(text)
        raise Refused(f"{text}; check mqtt.username, mqtt.password, mqtt.client_id")

    def _on_connect(
        self, _client: Any, _data: Any, _flags: Any, code: ReasonCode, properties: Properties | None
    ) -> None:
        self._connack = code
        self._client.on_log = None  # it formats a line per packet
        self.receive_maximum = getattr(properties, "ReceiveMaximum", _RECEIVE_MAXIMUM)
        self.max_packet = getattr(properties, "MaximumPacketSize", None)

    def _on_disconnect(
        self, _client: Any, _data: Any, flags: Any, code: ReasonCode, _properties: Any
    ) -> None:
        if self._connack is not None and self._connack.is_failure:
            return  # the CONNACK has said why
        why = redact(self._detail) or str(code)
        if flags.is_disconnect_packet_from_server and code.value == _SESSION_TAKEN_OVER:
            self._lost = Refused(
                f"broker {self._where} gave our session to another client of the same id: give"
                " each device its own device.id or mqtt.client_id"
            )
        elif self._connack is None:
            self._lost = _WrongProtocol(
                f"broker {self._where} hung up before its CONNACK ({why}): it may want TLS, a"
                " client certificate or another version of MQTT"
            )
        else:
            self._lost = PublishError(f"broker {self._where}: connection lost ({why})")

    def _on_publish(
        self, _client: Any, _data: Any, packet: int, code: ReasonCode, _properties: Any
    ) -> None:
        self._acknowledged.append(Acknowledged(packet, code.value, str(code)))

    def _on_subscribe(
        self, _client: Any, _data: Any, _packet: int, codes: list[ReasonCode], _properties: Any
    ) -> None:
        self._suback = codes

    def _on_message(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        properties = message.properties
        self._received.append(
            Received(
                message.topic,
                bytes(message.payload),
                message.retain,
                getattr(properties, "ContentType", None),
                getattr(properties, "ResponseTopic", None),
                getattr(properties, "CorrelationData", None),
            )
        )

    def _on_log(self, _client: Any, _data: Any, level: int, text: str) -> None:
        if level == LogLevel.MQTT_LOG_ERR:
            self._detail = text


def _acknowledge_at_once(sock: object) -> None:
    """Send the TCP ack of what was just read; the kernel forgets the wish, so after each read.

    A broker that leaves Nagle's algorithm on, as mosquitto does, holds the PUBACK of a frame's
    second message back until the TCP ack of the first, which the kernel delays. Measured on
    loopback, alert and embedding of a frame: 42 ms to the last PUBACK, 1 ms with this.
    """
    if isinstance(sock, socket.socket) and sock.fileno() >= 0:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
