"""Keeps a connection to the broker and publishes the outbox over it (docs/mqtt.md).

One thread owns the connection. The daemon's threads put messages into the outbox, or set the latest
message of a retained topic; both wake the thread.
"""

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from edge.config.models import MqttConfig
from edge.delivery.in_flight import Delivery
from edge.delivery.inbox import Inbox
from edge.delivery.message import Message
from edge.delivery.mqtt.connection import Connection
from edge.delivery.mqtt.dialer import CONNECT_S, Dialer
from edge.delivery.mqtt.paho_client import tls_context
from edge.delivery.mqtt.refusals import Refused
from edge.delivery.outbox import Outbox
from edge.delivery.payloads import Status, status_message
from edge.delivery.publisher_health import PublisherHealth
from edge.delivery.quarantine import Quarantine
from edge.delivery.standing import Standing
from edge.delivery.topics import Topics
from edge.delivery.unsent import Unsent
from edge.errors import ConfigError, OutboxError, PublishError
from edge.system.backoff import BROKER, RetryPolicy
from edge.system.pulse import Pulse
from edge.system.wake import SocketWake
from edge.system.workers import WorkerThread

logger = logging.getLogger(__name__)

# Longest step of the thread: it connects by each of a host's addresses, one after the other.
_LONGEST_S: Final = 120.0
# Longest sleep of the thread; the keep-alive is checked at this interval.
_TICK_S: Final = 1.0
# Part of ``stop``'s time that is reserved for publishing "stopped" and disconnecting.
_PARTING_S: Final = 0.5
# Part of this in which the broker must acknowledge it; the rest is for closing the connection.
_PARTING_SHARE: Final = 0.7
# Largest number of messages that wait in memory, retained ones apart, for a connection.
_MEMORY: Final = 1000
# Size of the largest packet that the broker may send us: the largest command has 128 KiB.
_LARGEST_RECEIVED: Final = 256 * 1024
_MEMORY_BYTES: Final = 16 * 1024 * 1024


def client_id_of(config: MqttConfig, device: str) -> str:
    """Our name at the broker."""
    return config.client_id or f"edge-{device}"


@dataclass(frozen=True, slots=True)
class PublisherTimings:
    """Times that the publisher goes by.

    Attributes:
        connect_s: Longest wait for a connection, and for each answer of the broker to a request.
        sound_s: Seconds for which a connection must last, so that its end is a first failure and
            not one more in a row.
        hold_s: Seconds from a refusal that may be temporary to the next try.
        patience_keepalives: Number of keep-alive intervals without any PUBACK, after which a broker
            that still answers pings counts as stuck.
        rest_s: Seconds for which a message over which connections end is not sent.
    """

    connect_s: float = CONNECT_S
    sound_s: float = 5.0
    hold_s: float = 30.0
    patience_keepalives: float = 2.0
    rest_s: float = 3600.0


class Publisher:
    """Publishes the messages of the outbox, and the latest message of each retained topic.

    Args:
        config: Address of the broker and credentials.
        device: Second level of all topics.
        outbox: Messages to send in order; each is deleted once the broker acknowledged it.
        on_delivered: Called on the publisher's thread with each acknowledged message of the outbox
            and the ``time.monotonic()`` of its acknowledgement.
        inbox: Subscriptions on the same connection; None subscribes to nothing.
        retry: Delays before connecting again.
        timings: Times that it goes by.

    Raises:
        ConfigError: The TLS files are unusable.
    """

    def __init__(
        self,
        config: MqttConfig,
        device: str,
        outbox: Outbox,
        on_delivered: Callable[[Message, float], None] | None = None,
        *,
        inbox: Inbox | None = None,
        retry: RetryPolicy = BROKER,
        timings: PublisherTimings = PublisherTimings(),
    ) -> None:
        if config.tls is not None:
            tls_context(config.tls)
        self._config = config
        self._topics = Topics(config.topic_prefix, device)
        self._dialer = Dialer(
            config,
            client_id_of(config, device),
            status_message(self._topics, "offline"),
            timeout_s=timings.connect_s,
            largest=_LARGEST_RECEIVED,
        )
        self._outbox = outbox
        self._on_delivered = on_delivered or (lambda _message, _at: None)
        self._inbox = inbox
        self._retry = retry
        self._timings = timings
        self._rng = random.Random()  # noqa: S311  jitter, no secret
        self._standing = Standing(Quarantine(timings.rest_s))
        self._protocol: str | None = None
        self._shortfalls: tuple[str, ...] = ()
        self._error: str | None = None
        self._disk_error: str | None = None
        self._failures = 0
        self._unsent = Unsent(_MEMORY, _MEMORY_BYTES)
        self._stopping = threading.Event()
        self._deadline = self._parting_s = 0.0
        self._wake = SocketWake()
        self._thread = WorkerThread("publisher", self._run)
        self.pulse = Pulse(_LONGEST_S)
        self.announce("online")
        outbox.listen(self._wake.set)

    @property
    def connected(self) -> bool:
        return self._protocol is not None

    def health(self) -> PublisherHealth:
        return PublisherHealth(
            running=self._thread.alive,
            protocol=self._protocol,
            error=self._error or self._disk_error,
            delivered=dict(self._standing.delivered),
            refused=dict(self._standing.refused),
            forgotten=self._unsent.forgotten,
            quarantined=self._standing.quarantine.topics,
        )

    def start(self) -> None:
        """Begin to connect; returns at once, also while no broker is reachable."""
        self._thread.start()

    def announce(self, word: Status) -> None:
        """Publish the device's retained status, now and at each connect."""
        self.publish_now(status_message(self._topics, word))

    def publish_now(self, message: Message) -> None:
        """Publish a message without the outbox.

        A retained message replaces the previous one on its topic, and is published again at each
        connect. Other messages wait in memory for a connection; the newest thousand are kept, as
        far as they have 16 MiB.
        """
        self._unsent.put(message)
        self._wake.set()

    def listen(self, callback: Callable[[str], None]) -> None:
        """Call ``callback`` with each retained topic that the broker has removed for us."""
        self._unsent.listen(callback)

    def stop(self, timeout_s: float = 4.0) -> None:
        """Send what is possible within ``timeout_s``, publish ``stopped``, and disconnect.

        Unsent messages stay in the outbox for the next start.
        """
        parting_s = min(_PARTING_S, timeout_s / 2)
        self._deadline = time.monotonic() + timeout_s - parting_s
        self._parting_s = _PARTING_SHARE * parting_s
        self._stopping.set()
        self._wake.set()
        if self._thread.alive:
            self._thread.join(timeout_s)
        else:
            self._wake.close()

    @property
    def failed(self) -> bool:
        """Whether an error that nobody expected has ended the thread."""
        return self._thread.failed

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.pulse.beat()
            self._connect_and_serve()
        self._wake.close()

    def _connect_and_serve(self) -> None:
        timings = self._timings
        opened_at: float | None = None
        try:
            with self._dialer.connect() as connection:
                opened_at = time.monotonic()
                self._serve(connection)
        except (PublishError, ConfigError) as exc:
            if opened_at is not None and time.monotonic() - opened_at > timings.sound_s:
                self._failures = 0
            delay_s = self._failed(exc)
            self.pulse.rest()
            self._stopping.wait(delay_s)
        finally:
            self._protocol = None

    def _failed(self, error: PublishError | ConfigError) -> float:
        """Log once per outage or reason; return the seconds until the next attempt."""
        refused = isinstance(error, (Refused, ConfigError))
        # The text of "unreachable" differs at each attempt; a new text of a refusal is news.
        if self._error is None or (refused and str(error) != self._error):
            logger.log(
                logging.ERROR if refused else logging.WARNING, "%s; trying again for ever", error
            )
        self._error = str(error)
        self._failures += 1
        backoff = self._retry.refused if refused else self._retry.unreachable
        return backoff.delay_s(self._failures, self._rng)

    def _serve(self, connection: Connection) -> None:
        """Publish until the connection is lost (raises) or ``stop`` is called (returns)."""
        logger.info(
            "connected to broker %s:%d, MQTT %s", self._config.host, self._config.port,
            connection.protocol,
        )  # fmt: skip
        if connection.terms.shortfalls != self._shortfalls:
            self._shortfalls = connection.terms.shortfalls
            for shortfall in self._shortfalls:
                logger.warning("broker %s: %s", self._config.host, shortfall)
        self._protocol, self._error = connection.protocol, None
        delivery = Delivery(
            connection,
            self._outbox,
            self._unsent,
            self._standing,
            window=self._config.max_inflight,
            patience_s=self._timings.patience_keepalives * self._config.keepalive,
            hold_s=self._timings.hold_s,
            on_delivered=self._on_delivered,
        )
        self._unsent.send_retained_again()
        try:
            while not self._time_is_up():
                self.pulse.beat()
                self._advance(delivery)
                if self._inbox:
                    self._inbox.listen(connection, idle=delivery.idle)
                parting = self._stopping.is_set() and delivery.idle
                if not parting:
                    connection.poll(self._tick_s, self._wake)
                # A message put before the stop has set the wake too.
                if self._wake.clear():
                    delivery.look_again()
                elif parting:
                    break
            self._part(connection, delivery)
        except Exception:
            delivery.broken()
            raise

    def _advance(self, delivery: Delivery) -> None:
        error = None
        for step in (delivery.settle, delivery.fill):
            try:
                step()
            except OutboxError as exc:
                error = str(exc)
        if error is not None and self._disk_error is None:
            logger.error("%s; trying again for ever", error)
        self._disk_error = error

    def _time_is_up(self) -> bool:
        return self._stopping.is_set() and time.monotonic() > self._deadline

    @property
    def _tick_s(self) -> float:
        if not self._stopping.is_set():
            return _TICK_S
        return max(0.0, min(_TICK_S, self._deadline - time.monotonic()))

    def _part(self, connection: Connection, delivery: Delivery) -> None:
        """Publish "stopped", and wait a short time for its acknowledgement."""
        delivery.say_last(status_message(self._topics, "stopped"))
        end = time.monotonic() + self._parting_s
        with contextlib.suppress(OutboxError):  # the next start sends them again
            while delivery.unacknowledged and time.monotonic() < end:
                connection.poll(max(0.0, end - time.monotonic()))
                delivery.settle()
            delivery.delete_finished()
