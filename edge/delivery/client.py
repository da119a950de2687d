"""Talks to boxes over the broker: hears their messages, sends a command and awaits its answer.

The commands ``edge alerts`` and ``edge prompts`` use it; the daemon does not.
"""

import contextlib
import itertools
import logging
import random
import secrets
import time
from collections.abc import Callable, Generator, Iterator, Sequence

from pydantic import ValidationError

from edge.config.document import suggestion
from edge.config.models import MqttConfig
from edge.delivery.message import Message, Received
from edge.delivery.mqtt.connection import Connection
from edge.delivery.mqtt.dialer import Dialer, connect
from edge.delivery.mqtt.refusals import SubscriptionRefused
from edge.delivery.payloads import AnswerPayload, PromptsStatePayload
from edge.delivery.topics import Topics
from edge.errors import ConfigError, PublishError
from edge.system.backoff import BROKER

logger = logging.getLogger(__name__)

# Longest wait for bytes of the broker; the keep-alive is checked at this interval.
_TICK_S = 1.0
# Words of the status of a box that is not connected (docs/mqtt.md).
_OFF = {"stopped", "offline"}
_FAILURE = 0x80


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
) -> PromptsStatePayload | None:
    """Send a command to a box, and wait until it is in force.

    What the broker keeps of the boxes' status tells at once that a box is off or not there. Where
    the broker shows none to this user, the command waits for the answer.

    Args:
        broker: Broker that the box is connected to.
        topics: Topics of the box.
        levels: Levels of the command's topic, as for ``Topics.command``.
        payload: Payload of the command.
        retain: Whether the broker keeps the command for a box that is off.
        timeout_s: Longest wait for the answer, seconds; compiling many sentences takes long.

    Returns:
        The rules that are in force now; None where the broker does not show them to this user.

    Raises:
        ConfigError: No box has this name, or it refuses the command; the message is its reason.
        PublishError: The broker is unreachable, the box is off, or no box answers.
    """
    topic = topics.command(*levels)
    command = Message(topic, payload, "state", None, 1, retain, "application/json")
    end = time.monotonic() + timeout_s
    with connect(broker, f"edge-ask-{secrets.token_hex(6)}") as connection:
        with contextlib.suppress(SubscriptionRefused):  # not every user may read them
            # What is retained there comes before the answer to the next subscription.
            connection.subscribe([Topics(topics.prefix, "+").status(), topics.in_force("prompts")])
        connection.subscribe([topics.answer()])
        kept = connection.received()
        off = _is_off(topics, kept)
        if off is None or retain:
            connection.publish(command)
        if off is not None:
            if retain:
                _acknowledged(connection, end)
            then = "it finds this when it is on again" if retain else "nothing was sent"
            raise PublishError(f"{topics.device} is off, its status is {off!r}: {then}")
        state = None
        for received in itertools.chain(kept, _listen(connection, end)):
            with contextlib.suppress(ValidationError):
                if received.topic == topics.in_force("prompts"):
                    state = PromptsStatePayload.model_validate_json(received.payload)
                elif received.topic == topics.answer():
                    answer = AnswerPayload.model_validate_json(received.payload)
                    if answer.topic == topic and answer.error is not None:
                        raise ConfigError(f"{topics.device} refuses it: {answer.error}")
                    if answer.topic == topic:
                        return state
    later = "; it finds this when it is on again" if retain else ""
    raise PublishError(f"no answer of {topics.device} within {timeout_s:g} s: is it on?{later}")


def _is_off(topics: Topics, kept: Sequence[Received]) -> str | None:
    """Return the status of a box that is off; None where it is on, or the broker shows nothing.

    Raises:
        ConfigError: The broker knows boxes, and none of this name.
    """
    words = {
        received.topic.split("/")[1]: received.payload.decode("utf-8", "replace")
        for received in kept
        if received.topic.endswith("/status") and received.payload
    }
    if words and topics.device not in words:
        hint = suggestion(topics.device, sorted(words))
        raise ConfigError(f"there is no box {topics.device!r} at this broker; {hint}")
    word = words.get(topics.device)
    return word if word in _OFF else None


def _acknowledged(connection: Connection, end: float) -> None:
    """Wait until the broker has the message that was published.

    Raises:
        PublishError: It refuses the message, or does not take it in time.
    """
    while time.monotonic() < end:
        for answer in connection.acknowledged():
            if answer.code >= _FAILURE:
                raise PublishError(f"the broker refuses the command: {answer.reason}")
            return
        connection.poll(min(_TICK_S, max(0.0, end - time.monotonic())))
    raise PublishError("the broker does not acknowledge the command: nothing is certain to be sent")


def _listen(connection: Connection, end: float | None) -> Iterator[Received]:
    """Yield what arrives on ``connection`` until ``end``, in monotonic seconds; None: for ever."""
    while True:
        yield from connection.received()
        remaining = _TICK_S if end is None else min(_TICK_S, end - time.monotonic())
        if remaining <= 0:
            return
        connection.poll(remaining)
