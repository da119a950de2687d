"""Receives commands to this box on the publisher's connection.

A failing subscription must never cost an alert. Where the broker forbids the subscription, or the
connection ends over it or over what arrives on it, the inbox logs this and tries again later;
publishing continues.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from edge.delivery.message import Received
from edge.delivery.mqtt.connection import Connection
from edge.delivery.mqtt.refusals import SubscriptionRefused

logger = logging.getLogger(__name__)

_STRIKES: Final = 3
# First rest after strikes, as a part of ``rest_s``; it doubles each time. Short, because the
# network may have been to blame.
_FIRST_REST: Final = 1 / 64


class Inbox:
    """Subscriptions and their receiver. Only the thread of the connection may use it.

    Args:
        filters: Topic filters; none may match a topic that this box publishes.
        on_received: Called with each message on the connection's thread; it must return at once.
        optional: More topic filters; a broker that refuses these refuses nothing else.
        rest_s: Seconds from a refused subscription to the next try.
        sound_s: Seconds that a connection must last after the subscription, so that its end is not
            blamed on the subscription or on a message that the broker keeps.
    """

    def __init__(
        self,
        filters: Sequence[str],
        on_received: Callable[[Received], None],
        *,
        optional: Sequence[str] = (),
        rest_s: float = 3600.0,
        sound_s: float = 1.0,
    ) -> None:
        self._filters = filters
        self._optional = optional
        self._optional_strikes = 0
        self._on_received = on_received
        self._rest_s = rest_s
        self._sound_s = sound_s
        self._joined: Connection | None = None
        self._joined_at = 0.0
        self._strikes = 0  # connections in a row that broke over the subscription
        self._short_rest_s = rest_s * _FIRST_REST
        self._again_at = 0.0
        self._refusal = ""

    def listen(self, connection: Connection, *, idle: bool = True) -> None:
        """Subscribe once per connection; what arrives is passed on as it is read.

        Args:
            connection: Connection to the broker.
            idle: Whether all of ours is sent and acknowledged. Once a connection has ended soon
                after the subscription, the next one is subscribed to only then, so that no message
                of ours is to blame.

        Raises:
            PublishError: The connection was lost during the subscription.
        """
        now = time.monotonic()
        if connection is not self._joined:
            if now >= self._again_at and (idle or not self._strikes):
                self._join(connection)
        elif self._strikes and now >= self._joined_at + self._sound_s:
            self._strikes, self._refusal = 0, ""
            self._short_rest_s = self._rest_s * _FIRST_REST

    def _join(self, connection: Connection) -> None:
        self._joined = connection
        self._strikes += 1
        if self._strikes > _STRIKES:
            self._rest(
                f"the broker broke {_STRIKES} connections in a row over the subscription",
                self._short_rest_s,
            )
            self._short_rest_s = min(self._rest_s, 2 * self._short_rest_s)
            return
        connection.receiver = self._on_received
        try:
            connection.subscribe(self._filters)
        except SubscriptionRefused as exc:
            self._rest(str(exc), self._rest_s)
        else:
            self._join_optional(connection)
        self._joined_at = time.monotonic()

    def _join_optional(self, connection: Connection) -> None:
        if not self._optional or self._optional_strikes == _STRIKES:
            return
        self._optional_strikes += 1
        try:
            connection.subscribe(self._optional)
        except SubscriptionRefused as exc:
            logger.warning("%s; all else goes on", exc)
            self._optional_strikes = _STRIKES
        else:
            self._optional_strikes = 0

    def _rest(self, refusal: str, rest_s: float) -> None:
        self._joined, self._strikes = None, 0
        self._again_at = time.monotonic() + rest_s
        if refusal != self._refusal:
            logger.error("%s: commands over MQTT may not arrive; publishing goes on", refusal)
        self._refusal = refusal
