"""Opens connections to one broker, and remembers what it learned of it.

MQTT 5 says on each connection what the broker accepts. What it says only by a refusal, or not at
all, has to be remembered from one connection to the next: whether it speaks MQTT 5, what it cannot
do, and how long its connections last.
"""

import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Final

from paho.mqtt.enums import MQTTProtocolVersion

from edge.config.models import MqttConfig
from edge.delivery.message import Message
from edge.delivery.mqtt.connection import Connection
from edge.delivery.mqtt.refusals import Lost, Silent, Unsupported, WrongProtocol
from edge.delivery.mqtt.terms import Feature
from edge.errors import PublishError

logger = logging.getLogger(__name__)

CONNECT_S: Final = 5.0
"""Longest wait for the broker's address, and for each of its answers, in seconds."""

_V5: Final = MQTTProtocolVersion.MQTTv5
_V311: Final = MQTTProtocolVersion.MQTTv311
# A broker that has not answered in time is waited for twice as long, so many times: it may ask
# others who we are.
_PATIENCE_DOUBLES: Final = 3
# So many quick losses in a row are no accident.
_QUICK_LOSSES: Final = 3
# What a broker cannot do is tried again after this time, because brokers are reconfigured.
_FORGET_S: Final = 3600.0


class Dialer:
    """Opens connections to one broker. Only one thread may use it.

    Args:
        config: Address of the broker and credentials.
        client_id: Our name at the broker, which allows one connection for each.
        will: Message that the broker publishes when it loses us.
        timeout_s: Longest wait for the network connection, and for each answer to a request.
        quick_s: Seconds below which the loss of a connection is a quick one.
        largest: Size in bytes of the largest packet that we take; None takes any.
    """

    def __init__(
        self,
        config: MqttConfig,
        client_id: str,
        will: Message | None = None,
        *,
        timeout_s: float = CONNECT_S,
        quick_s: float = 30.0,
        largest: int | None = None,
    ) -> None:
        self._config = config
        self._client_id = client_id
        self._will = will
        self._timeout_s = timeout_s
        self._quick_s = quick_s
        self._largest = largest
        self._spoke_5 = False
        self._asked_twice = False
        self._without: dict[Feature, float] = {}  # until this monotonic second
        self._quick_losses = 0
        self._silences = 0

    @contextlib.contextmanager
    def connect(self) -> Iterator[Connection]:
        """Open a connection; leaving the block closes it (with DISCONNECT if it is still up).

        Raises:
            PublishError: The broker is unreachable, or the connection was lost inside the block.
            Refused: The broker answered with a refusal.
            ConfigError: The TLS files are unusable.
        """
        connection = self._open()
        opened_at = time.monotonic()
        try:
            yield connection
        except Unsupported as exc:
            self._learn(exc)
            raise
        except Lost as exc:
            quick = time.monotonic() < opened_at + self._quick_s
            self._quick_losses = self._quick_losses + 1 if quick else 0
            if self._quick_losses >= _QUICK_LOSSES:
                raise PublishError(self._suspicion(exc)) from exc
            raise
        finally:
            connection.close()

    def _open(self) -> Connection:
        """Open a connection; wait longer for the answer the more often none came in time."""
        began = time.monotonic()
        try:
            connection = self._without_the_missing()
        except Silent:
            self._silences = min(self._silences + 1, _PATIENCE_DOUBLES)
            raise
        if time.monotonic() < began + self._timeout_s:
            self._silences = 0
        return connection

    def _without_the_missing(self) -> Connection:
        """Open a connection without what the broker is known to lack."""
        while True:
            try:
                return self._in_a_version()
            except Unsupported as exc:
                if exc.feature in self._without:
                    raise
                self._learn(exc)

    def _in_a_version(self) -> Connection:
        """Open a connection in MQTT 5, or in 3.1.1 with a broker that does not speak 5.

        Once MQTT 5 has worked, only a broker that says so has lost it: silence is an outage. Before
        that, silence may be one too, so a broker that answers 3.1.1 is asked once more.
        """
        if self._config.protocol != "auto":
            return self._in(_V5 if self._config.protocol == "5" else _V311)
        try:
            connection = self._in(_V5)
        except WrongProtocol as exc:
            if self._spoke_5 and not exc.said:
                raise
            logger.debug("trying MQTT 3.1.1: %s", exc)
            connection = self._in(_V311)
            if not (exc.said or self._asked_twice):
                connection.close()
                self._asked_twice = True
                with contextlib.suppress(WrongProtocol):
                    connection = self._in(_V5)
                    self._spoke_5 = True
                    return connection
                return self._in(_V311)
        else:
            self._spoke_5 = True
        return connection

    def _in(self, version: MQTTProtocolVersion) -> Connection:
        now = time.monotonic()
        self._without = {what: until for what, until in self._without.items() if until > now}
        return Connection(
            self._config,
            self._client_id,
            self._will,
            version,
            self._timeout_s,
            frozenset(self._without),
            self._largest,
            self._timeout_s * 2**self._silences,
        )

    def _learn(self, refusal: Unsupported) -> None:
        self._without[refusal.feature] = time.monotonic() + _FORGET_S

    def _suspicion(self, lost: Lost) -> str:
        return (
            f"{lost}; it was the {self._quick_losses}. in a row that lasted less than"
            f" {self._quick_s:g} s: another client may have the same id {self._client_id!r}, such"
            " as a copy of this box; give each device its own device.id or mqtt.client_id"
        )


def connect(
    config: MqttConfig,
    client_id: str,
    will: Message | None = None,
    *,
    timeout_s: float = CONNECT_S,
) -> contextlib.AbstractContextManager[Connection]:
    """Open one connection, as ``Dialer.connect`` does."""
    return Dialer(config, client_id, will, timeout_s=timeout_s).connect()
