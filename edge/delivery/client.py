"""Talks to boxes over the broker: hears their messages, sends a command and awaits its answer.

The commands ``edge alerts`` and ``edge prompts`` use it; the daemon does not.
"""

import contextlib
import logging
import random
import secrets
import time
from collections.abc import Callable, Generator, Iterator, Sequence

from pydantic import ValidationError

from edge.config.models import MqttConfig
from edge.delivery.message import Message, Received
from edge.delivery.mqtt.connection import Connection
from edge.delivery.mqtt.dialer import Dialer, connect
from edge.delivery.payloads import AnswerPayload
from edge.delivery.topics import Topics
from edge.errors import ConfigError, PublishError
from edge.system.backoff import BROKER

logger = logging.getLogger(__name__)

# Longest wait for bytes of the broker; the keep-alive is checked at this interval.
_TICK_S = 1.0


def subscribe(
    config: MqttConfig,
    filters: Sequence[str],
    *,
    timeout_s: float | None = None,
    listening: Callable[[], None] = lambda: None,
) -> Generator[Received, None, None]:
    """Yield the messages that arrive on ``filters``, for ever or for ``timeout_s`` seconds.

    A connection that is lost later is opened again, with a warning. Messages published meanwhile
    are missed, because each session is clean and has its own client id.

    Args:
        config: The broker.
        filters: Filters of topics.
        timeout_s: Seconds until the end; None: there is none.
        listening: Called as soon as the broker has taken the subscription, at each connection.

    Raises:
        PublishError: The broker is unreachable or refuses the connection at the start.
        ConfigError: The TLS files are unusable.
    """
    end = None if timeout_s is None else time.monotonic() + timeout_s
    dialer = Dialer(config, f"edge-listen-{secrets.token_hex(6)}")
    rng = random.Random()  # noqa: S311  jitter, no secret
    failures, heard = 0, False
    while end is None or time.monotonic() < end:
        try:
            with dialer.connect() as connection:
                connection.subscribe(filters)
                failures, heard = 0, True
                listening()
                yield from _listen(connection, end)
        except PublishError as exc:
            if not heard:
                raise
            failures += 1
            logger.warning("%s; connecting again", exc)
            time.sleep(BROKER.unreachable.delay_s(failures, rng))


def ask(
    broker: MqttConfig,
    topics: Topics,
    levels: tuple[str, ...],
    payload: bytes,
    *,
    retain: bool = False,
    timeout_s: float = 60.0,
) -> None:
    """Send a command to a box, and wait until it is in force.

    Args:
        broker: Broker that the box is connected to.
        topics: Topics of the box.
        levels: Levels of the command's topic, as for ``Topics.command``.
        payload: Payload of the command.
        retain: Whether the broker keeps the command for a box that is off.
        timeout_s: Longest wait for the answer, seconds; compiling many sentences takes long.

    Raises:
        ConfigError: The box refuses the command; the message is the box's reason.
        PublishError: The broker is unreachable, or no box answers.
    """
    topic = topics.command(*levels)
    command = Message(topic, payload, "state", None, 1, retain, "application/json")
    end = time.monotonic() + timeout_s
    with connect(broker, f"edge-ask-{secrets.token_hex(6)}") as connection:
        connection.subscribe([topics.answer()])
        connection.publish(command)
        for received in _listen(connection, end):
            with contextlib.suppress(ValidationError):
                answer = AnswerPayload.model_validate_json(received.payload)
                if answer.topic == topic:
                    if answer.error is not None:
                        raise ConfigError(f"{topics.device} refuses it: {answer.error}")
                    return
    later = "; it finds this when it is on again" if retain else ""
    raise PublishError(f"no answer of {topics.device} within {timeout_s:g} s: is it on?{later}")


def _listen(connection: Connection, end: float | None) -> Iterator[Received]:
    """Yield what arrives on ``connection`` until ``end``, in monotonic seconds; None: for ever."""
    while True:
        yield from connection.received()
        remaining = _TICK_S if end is None else min(_TICK_S, end - time.monotonic())
        if remaining <= 0:
            return
        connection.poll(remaining)
