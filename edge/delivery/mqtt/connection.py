"""Holds one open connection to the broker, with or without TLS.

A ``Connection`` never reconnects: ``edge.delivery.mqtt.dialer`` opens the next one. Messages
without a PUBACK are then sent again from the outbox, not from the client library's memory. So a
message that breaks connections is not retransmitted for ever, and one place knows which messages
are unacknowledged.
"""

import contextlib
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from paho.mqtt import MQTTException
from paho.mqtt.enums import MQTTProtocolVersion

from edge.config.models import MqttConfig
from edge.delivery.message import Message, Received
from edge.delivery.mqtt.answers import Acknowledged, BrokerAnswers
from edge.delivery.mqtt.paho_client import connect_properties, make_client, publish_properties
from edge.delivery.mqtt.refusals import (
    SubscriptionRefused,
    Unsendable,
    silent,
    stranger,
    unreachable,
)
from edge.delivery.mqtt.sockets import (
    HasFileno,
    acknowledge_at_once,
    first_bytes,
    send_at_once,
    wait_for,
)
from edge.delivery.mqtt.terms import Feature, Terms, lowered
from edge.errors import PublishError

# What paho raises for packets that break the protocol (found by fuzzing, tests/fuzz).
_MALFORMED: Final = (
    ValueError, LookupError, TypeError, AttributeError, struct.error, MQTTException,
)  # fmt: skip


class Connection:
    """Open connection to the broker. Only one thread may use it.

    Args:
        config: Address of the broker and credentials.
        client_id: Our name at the broker, which allows one connection for each.
        will: Message that the broker publishes when it loses us.
        version: MQTT version.
        timeout_s: Longest wait for the network connection, and for each answer to a request.
        without: What to do without, because the broker refused it.
        largest: Size in bytes of the largest packet that we take; None takes any.
        connack_s: Longest wait for the answer to our CONNECT; None: ``timeout_s``.

    Attributes:
        protocol: MQTT version: ``"5"`` or ``"3.1.1"``.
        receiver: Called with each message as it is read; unless set, ``received`` gives them.

    Raises:
        PublishError: The broker is unreachable.
        Refused: The broker answered with a refusal.
        ConfigError: The TLS files are unusable.
    """

    def __init__(
        self,
        config: MqttConfig,
        client_id: str,
        will: Message | None,
        version: MQTTProtocolVersion,
        timeout_s: float,
        without: frozenset[Feature] = frozenset(),
        largest: int | None = None,
        connack_s: float | None = None,
    ) -> None:
        self.protocol = "5" if version is MQTTProtocolVersion.MQTTv5 else "3.1.1"
        self._largest = largest
        self._config = config
        self._where = f"{config.host}:{config.port}"
        self._timeout_s = timeout_s
        self._connack_s = timeout_s if connack_s is None else connack_s
        self._answers = BrokerAnswers(config, self.protocol, without)
        self._received: deque[Received] = deque()
        self.receiver: Callable[[Received], None] = self._received.append
        will = will and lowered(will, self.terms)
        self._client = make_client(config, client_id, will, version, largest)
        self._client.connect_timeout = timeout_s
        self._client.receiver = self._on_message
        self._answers.listen(self._client)
        self._open()

    @property
    def terms(self) -> Terms:
        """What the broker accepts."""
        return self._answers.terms

    def publish(self, message: Message) -> int | None:
        """Send a message, not retained or with QoS 0 where the broker accepts nothing else.

        Returns:
            The packet number that ``acknowledged`` will name; None for a message of QoS 0. A
            message of QoS 1 that goes out with QoS 0 counts as acknowledged once it is written.

        Raises:
            Unsendable: MQTT has no packet for such a message.
        """
        wanted, message = message, lowered(message, self.terms)
        try:
            info = self._client.publish(
                message.topic,
                message.payload,
                message.qos,
                message.retain,
                publish_properties(message) if self.protocol == "5" else None,
            )
        except (ValueError, struct.error, MQTTException) as exc:
            raise Unsendable(f"MQTT has no packet for it ({exc!s:.200})") from exc
        return info.mid if wanted.qos else None

    def subscribe(self, filters: Sequence[str], qos: int = 1) -> None:
        """Subscribe to what the broker allows, and wait for its answer.

        Raises:
            SubscriptionRefused: The broker forbids some of the filters; the others are subscribed
                to.
            PublishError: The connection is lost, or the broker does not answer.
        """
        allowed = [name for name in filters if self.terms.wildcards or not {"+", "#"} & set(name)]
        refused = dict.fromkeys(set(filters) - set(allowed), "it allows no wildcards")
        if allowed:
            self._answers.suback = []
            with self._foreign_errors():
                self._client.subscribe([(name, qos) for name in allowed])
            if not self._poll_until(lambda: bool(self._answers.suback), self._timeout_s):
                raise PublishError(f"broker {self._where} sent no SUBACK in {self._timeout_s:g} s")
            if len(self._answers.suback) != len(allowed):
                raise PublishError(f"broker {self._where} answered to other subscriptions")
            answers = zip(allowed, self._answers.suback, strict=True)
            refused |= {name: reason for name, reason in answers if reason is not None}
        if refused:
            listed = ", ".join(f"{name!r} ({reason})" for name, reason in sorted(refused.items()))
            raise SubscriptionRefused(f"broker {self._where} refuses the subscription {listed}")

    def poll(self, timeout_s: float, wake: HasFileno | None = None) -> None:
        """Send and receive bytes; return after the first activity, ``wake``, or ``timeout_s``.

        Raises:
            PublishError: The connection is lost.
        """
        sock = self._client.socket()
        if sock is not None and not self._answers.lost:
            if self._answers.acknowledged:  # by being written, as QoS 0
                timeout_s = 0.0
            with self._foreign_errors():
                read, write = wait_for(sock, timeout_s, wake, write=self._client.want_write())
                if read:
                    self._check_greeting(sock)
                    self._client.loop_read()
                    acknowledge_at_once(sock)
                if write:
                    self._client.loop_write()
                self._client.loop_misc()
        if self._answers.lost:
            raise self._answers.lost

    def ping(self) -> None:
        """Ask the broker for a sign of life, which ``pinging`` waits for."""
        with self._foreign_errors():
            self._client.ping()

    @property
    def pinging(self) -> bool:
        """Whether the broker has not answered a ping yet."""
        return self._client.pinging

    @property
    def congested(self) -> bool:
        """Whether bytes wait because the network takes no more now."""
        return self._client.want_write()

    def acknowledged(self) -> list[Acknowledged]:
        """PUBACKs that arrived since the last call."""
        taken, self._answers.acknowledged = self._answers.acknowledged, []
        return taken

    def received(self) -> list[Received]:
        """Messages that arrived since the last call."""
        taken = list(self._received)
        self._received.clear()
        return taken

    def close(self) -> None:
        """Send DISCONNECT, so that the broker discards our last will, and close."""
        self._client.on_disconnect = None
        with contextlib.suppress(PublishError), self._foreign_errors():
            self._client.disconnect()
            self._client.loop_write()
        if sock := self._client.socket():
            sock.close()

    def _open(self) -> None:
        config = self._config
        try:
            self._client.connect(
                config.host,
                config.port,
                round(config.keepalive),
                properties=connect_properties(self._largest) if self.protocol == "5" else None,
            )
        except (OSError, ValueError, struct.error) as exc:
            raise unreachable(self._where, exc, config) from exc
        try:
            with self._foreign_errors():
                send_at_once(self._client.socket())
            if not self._poll_until(lambda: self._answers.connack is not None, self._connack_s):
                raise silent(self._where, self._connack_s)
        except PublishError:
            self.close()
            raise

    @contextlib.contextmanager
    def _foreign_errors(self) -> Iterator[None]:
        """Turn what sockets, TLS and the client library raise into a lost connection."""
        try:
            yield
        except OSError as exc:
            self._answers.lost = PublishError(f"broker {self._where}: connection lost ({exc})")
            raise self._answers.lost from exc
        except _MALFORMED as exc:
            # The client takes a packet's fields as they come: what a peer writes raises anything.
            self._answers.lost = PublishError(
                f"broker {self._where}: expected a packet of MQTT, found {exc!r:.200}"
            )
            raise self._answers.lost from exc

    def _check_greeting(self, sock: object) -> None:
        """Look at the first bytes of the broker: other servers listen on ports too."""
        if self._answers.connack is not None:
            return
        try:
            self._answers.lost = stranger(self._where, first_bytes(sock))
        except OSError as exc:  # the client library will find the connection closed
            self._answers.detail = str(exc)
        if self._answers.lost:
            raise self._answers.lost

    def _poll_until(self, done: Callable[[], bool], timeout_s: float) -> bool:
        """Poll until ``done``; return whether it was in time."""
        deadline = time.monotonic() + timeout_s
        while not done():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            self.poll(remaining)
        return True

    def _on_message(self, received: Received) -> None:
        self.receiver(received)
