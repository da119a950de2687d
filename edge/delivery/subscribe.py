"""Receives messages from the broker, for ``edge alerts`` and the demo."""

import logging
import random
import secrets
import time
from collections.abc import Iterator, Sequence

from edge.config.models import MqttConfig
from edge.delivery.connection import Connection, Received, connect
from edge.errors import PublishError
from edge.system.backoff import BROKER

logger = logging.getLogger(__name__)

_TICK_S = 1.0


def subscribe(
    config: MqttConfig, filters: Sequence[str], *, timeout_s: float | None = None
) -> Iterator[Received]:
    """Yield the messages that arrive on ``filters``, for ever or for ``timeout_s`` seconds.

    A connection that is lost later is opened again, with a warning. Messages published meanwhile
    are missed, because each session is clean and has its own client id.

    Raises:
        PublishError: The broker is unreachable or refuses the connection at the start.
        ConfigError: The TLS files are unusable.
    """
    end = None if timeout_s is None else time.monotonic() + timeout_s
    client_id = f"edge-listen-{secrets.token_hex(6)}"
    rng = random.Random()  # noqa: S311  jitter, no secret
    failures, heard = 0, False
    while end is None or time.monotonic() < end:
        try:
            with connect(config, client_id) as connection:
                connection.subscribe(filters)
                failures, heard = 0, True
                yield from _listen(connection, end)
        except PublishError as exc:
            if not heard:
                raise
            failures += 1
            logger.warning("%s; connecting again", exc)
            time.sleep(BROKER.unreachable.delay_s(failures, rng))


def _listen(connection: Connection, end: float | None) -> Iterator[Received]:
    while True:
        yield from connection.received()
        remaining = _TICK_S if end is None else min(_TICK_S, end - time.monotonic())
        if remaining <= 0:
            return
        connection.poll(remaining)
