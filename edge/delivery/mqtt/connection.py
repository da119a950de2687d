"""Opens one connection to the broker: MQTT 5, or 3.1.1 for old brokers, with or without TLS.

A ``Connection`` never reconnects: its owner opens the next one. Messages without a PUBACK are then
sent again from the outbox, not from the client library's memory. So a message that breaks
connections is not retransmitted for ever, and one place knows which messages are unacknowledged.
"""

import contextlib
import logging
import select
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from paho.mqtt import MQTTException
from paho.mqtt import client as mqtt
from paho.mqtt.enums import LogLevel, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge.config.models import MqttConfig
from edge.delivery.message import Message, Received
from edge.delivery.mqtt.paho_client import make_client, publish_properties
from edge.delivery.mqtt.refusals import Refused, WrongProtocol, hung_up, refusal, taken_over
from edge.errors import PublishError
from edge.system.redact import redact

logger = logging.getLogger(__name__)

CONNECT_S: Final = 5.0
"""Longest wait for the broker's address, and for each of its answers, in seconds."""

# Limit of a broker that names none (MQTT 5, section 3.2.2.3.3).
_RECEIVE_MAXIMUM: Final = 65_535

_SESSION_TAKEN_OVER: Final = 0x8E

# What paho raises for packets that break the protocol (found by fuzzing, tests/fuzz).
_MALFORMED: Final = (
    ValueError, LookupError, TypeError, AttributeError, struct.error, MQTTException,
)  # fmt: skip


class HasFileno(Protocol):
    def fileno(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """PUBACK: number of the packet, and whether the broker accepted it.

    Attributes:
        code: MQTT 5 reason code; 0x80 and above are refusals. Always 0 over 3.1.1.
        reason: The code in words.
    """

    packet: int
    code: int
    reason: str


@contextlib.contextmanager
def connect(
    config: MqttConfig,
    client_id: str,
    will: Message | None = None,
    *,
    timeout_s: float = CONNECT_S,
) -> Iterator["Connection"]:
    """Open a connection; leaving the block closes it (with DISCONNECT if it is still up).

    ``protocol: auto`` tries MQTT 5 first at every call, since the broker may have been updated.

    Args:
        config: Address of the broker and credentials.
        client_id: Our name at the broker, which allows one connection for each.
        will: Message that the broker publishes when it loses us.
        timeout_s: Longest wait for the network connection, and for each answer to a request.

    Raises:
        PublishError: The broker is unreachable, or the connection was lost inside the block.
        Refused: The broker answered with a refusal.
        ConfigError: The TLS files are unusable.
    """
    if config.protocol == "auto":
        try:
            connection = Connection(config, client_id, will, MQTTProtocolVersion.MQTTv5, timeout_s)
        except WrongProtocol as exc:
            logger.debug("trying MQTT 3.1.1: %s", exc)
            connection = Connection(
                config, client_id, will, MQTTProtocolVersion.MQTTv311, timeout_s
            )
    else:
        versions = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}
        connection = Connection(config, client_id, will, versions[config.protocol], timeout_s)
    try:
        yield connection
    finally:
        connection.close()


class Connection:
    """Open connection to the broker, made by ``connect``. Only one thread may use it.

    Attributes:
        protocol: MQTT version: ``"5"`` or ``"3.1.1"``.
        receive_maximum: Largest number of unacknowledged QoS 1 messages that the broker accepts.
        max_packet: Size in bytes of the largest packet that the broker accepts; None: no limit.
    """

    def __init__(
        self,
        config: MqttConfig,
        client_id: str,
        will: Message | None,
        version: MQTTProtocolVersion,
        timeout_s: float,
    ) -> None:
        self.protocol = "5" if version is MQTTProtocolVersion.MQTTv5 else "3.1.1"
        self.receive_maximum = _RECEIVE_MAXIMUM
        self.max_packet: int | None = None
        self._where = f"{config.host}:{config.port}"
        self._timeout_s = timeout_s
        self._acknowledged: list[Acknowledged] = []
        self._received: deque[Received] = deque()
        self._connack: ReasonCode | None = None
        self._suback: list[ReasonCode] = []
        self._lost: PublishError | None = None
        self._detail = ""
        self._client = make_client(config, client_id, will, version)
        self._client.connect_timeout = timeout_s
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.on_log = self._on_log
        self._open(config)

    def publish(self, message: Message) -> int | None:
        """Send a message.

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
            Refused: The broker forbids one of the filters.
            PublishError: The connection is lost, or the broker does not answer.
        """
        self._suback = []
        self._client.subscribe([(name, qos) for name in filters])
        self._poll_until(lambda: bool(self._suback), "SUBACK")
        for name, code in zip(filters, self._suback, strict=True):
            if code.is_failure:
                raise Refused(f"broker {self._where} refuses the subscription {name!r}: {code}")

    def poll(self, timeout_s: float, wake: HasFileno | None = None) -> None:
        """Send and receive bytes; return after the first activity, ``wake``, or ``timeout_s``.

        Raises:
            PublishError: The connection is lost.
        """
        sock = self._client.socket()
        if sock is not None and not self._lost:
            # Bytes that TLS has already read from the socket do not wake the poll.
            buffered = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
            poller = select.poll()
            write = select.POLLOUT if self._client.want_write() else 0
            poller.register(sock, select.POLLIN | write)
            if wake:
                poller.register(wake, select.POLLIN)
            events = dict(poller.poll(0 if buffered else timeout_s * 1000))
            happened = events.get(sock.fileno(), 0)
            if buffered or happened & ~select.POLLOUT:
                self._read()
                _acknowledge_at_once(sock)
            if happened & select.POLLOUT:
                self._client.loop_write()
            self._client.loop_misc()
        if self._lost:
            raise self._lost

    def _read(self) -> None:
        try:
            self._client.loop_read()
        except _MALFORMED as exc:
            # The client takes a packet's fields as they come: what a peer writes raises anything.
            self._lost = PublishError(
                f"broker {self._where}: expected a packet of MQTT, found {exc!r:.200}"
            )

    @property
    def congested(self) -> bool:
        """Whether bytes wait because the network takes no more now."""
        return self._client.want_write()

    def acknowledged(self) -> list[Acknowledged]:
        """PUBACKs that arrived since the last call."""
        taken, self._acknowledged = self._acknowledged, []
        return taken

    def received(self) -> list[Received]:
        """Messages that arrived since the last call."""
        taken = list(self._received)
        self._received.clear()
        return taken

    def close(self) -> None:
        """Send DISCONNECT, so that the broker discards our last will, and close."""
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
        except (OSError, ValueError) as exc:  # UnicodeError: a name that no resolver takes
            raise PublishError(f"broker {self._where} is unreachable: {exc}") from exc
        if isinstance(sock := self._client.socket(), socket.socket):
            # Nagle's algorithm would delay a small message until the TCP ack of the one before.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._poll_until(lambda: self._connack is not None, "CONNACK")
            if self._connack is not None and self._connack.is_failure:
                raise refusal(self._where, self.protocol, self._connack)
        except PublishError:
            self.close()
            raise

    def _poll_until(self, done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + self._timeout_s
        while not done():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                # Some brokers that speak only 3.1.1 do not answer a CONNECT of MQTT 5.
                raise WrongProtocol(f"broker {self._where} sent no {what} in {self._timeout_s:g} s")
            self.poll(remaining)

    def _on_connect(
        self, _client: Any, _data: Any, _flags: Any, code: ReasonCode, properties: Properties | None
    ) -> None:
        self._connack = code
        self._client.on_log = None  # paho formats a log line per packet
        self.receive_maximum = getattr(properties, "ReceiveMaximum", _RECEIVE_MAXIMUM)
        self.max_packet = getattr(properties, "MaximumPacketSize", None)

    def _on_disconnect(
        self, _client: Any, _data: Any, flags: Any, code: ReasonCode, _properties: Any
    ) -> None:
        if self._connack is not None and self._connack.is_failure:
            return  # the CONNACK gave the reason
        why = redact(self._detail) or str(code)
        if flags.is_disconnect_packet_from_server and code.value == _SESSION_TAKEN_OVER:
            self._lost = taken_over(self._where)
        elif self._connack is None:
            self._lost = hung_up(self._where, why)
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
    """Send the TCP ack of the data just read. The kernel resets the option, so call this each time.

    A broker that leaves Nagle's algorithm on, as mosquitto does, delays the PUBACK of a frame's
    second message until the TCP ack of the first one, which the kernel delays. Measured on loopback
    for the alert and the embedding of a frame: 42 ms to the last PUBACK, 1 ms with this function.
    """
    if isinstance(sock, socket.socket) and sock.fileno() >= 0:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
