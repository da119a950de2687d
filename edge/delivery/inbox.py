"""Receives commands to this box on the publisher's connection.

A failing subscription must never cost an alert. Where the broker forbids the subscription, or
closes the connection because of it, the inbox logs this and tries again an hour later; publishing
continues.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from edge.delivery.message import Received
from edge.delivery.mqtt.connection import Connection
from edge.delivery.mqtt.refusals import Refused

logger = logging.getLogger(__name__)

_STRIKES: Final = 3


class Inbox:
    """Subscriptions and their receiver. Only the thread of the connection may use it.

    Args:
        filters: Topic filters; none may match a topic that this box publishes.
        on_received: Called with each message on the connection's thread; it must return at once.
        rest_s: Seconds from a failed subscription to the next try.
    """

    def __init__(
        self,
        filters: Sequence[str],
        on_received: Callable[[Received], None],
        *,
        rest_s: float = 3600.0,
    ) -> None:
        self._filters = filters
        self._on_received = on_received
        self._rest_s = rest_s
        self._joined: Connection | None = None
        self._strikes = 0  # connections in a row that broke while we subscribed
        self._again_at = 0.0
        self._refusal = ""

    def listen(self, connection: Connection) -> None:
        """Subscribe once per connection, and pass on the messages that arrived.

        Raises:
            PublishError: The connection was lost during the subscription.
        """
        if connection is not self._joined and time.monotonic() >= self._again_at:
            self._join(connection)
        for received in connection.received():
            self._on_received(received)

    def _join(self, connection: Connection) -> None:
        self._joined = connection
        self._strikes += 1
        if self._strikes > _STRIKES:
            self._rest(f"the broker broke {_STRIKES} connections in a row over the subscription")
            return
        try:
            connection.subscribe(self._filters)
        except Refused as exc:
            self._rest(str(exc))
        else:
            self._strikes, self._refusal = 0, ""

    def _rest(self, refusal: str) -> None:
        self._joined, self._strikes = None, 0
        self._again_at = time.monotonic() + self._rest_s
        if refusal != self._refusal:
            logger.error("%s: commands over MQTT may not arrive; publishing goes on", refusal)
        self._refusal = refusal
