"""Talks to boxes over the broker: hears their messages, sends a command and awaits its answer.

The commands ``edge alerts`` and ``edge prompts`` use it; the daemon does not.
"""

import contextlib
import itertools
import logging
import random
import secrets
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

from pydantic import ValidationError

from edge.config.document import suggestion
from edge.config.models import MqttConfig
from edge.delivery.message import Message, Received
from edge.delivery.mqtt.connection import Connection
from edge.delivery.mqtt.dialer import Dialer, connect
from edge.delivery.mqtt.refusals import SubscriptionRefused
from edge.delivery.mqtt.terms import Terms
from edge.delivery.payloads import OFF, AnswerPayload, PromptsStatePayload
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
) -> PromptsStatePayload | None:
    """Send a command to a box, and wait until it is in force.

    What the broker keeps of the box's status tells at once that the box is off. Where it keeps
    none, the status of others tells that the box is not there. Where the broker shows none to this
    user, the command waits for the answer.

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
        ConfigError: The box refuses the command, and the message is its reason; or no box has this
            name, and the command is not retained.
        PublishError: The broker is unreachable, the box is off, or no box answers.
    """
    topic = topics.command(*levels)
    command = Message(topic, payload, "state", None, 1, retain, "application/json")
    end = time.monotonic() + timeout_s
    with _connected(broker) as connection:
        with contextlib.suppress(SubscriptionRefused):  # not every user may read them
            # What is retained there comes before the answer to the next subscription: these two
            # are fewer messages than any broker has in flight.
            connection.subscribe([topics.status(), topics.in_force("prompts")])
        connection.subscribe([topics.answer()])
        kept = connection.received()
        statuses = _statuses(kept) or _shown(broker, topics)
        away = _away(topics.device, statuses)
        if away is None or retain:
            connection.publish(command)
        fate = _fate(command, connection.terms)
        if away is not None:
            if retain:
                _acknowledged(connection, end)
            known = topics.device in statuses
            raise (PublishError if known or retain else ConfigError)(f"{away}: {fate}")
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
    later = f"; {fate}" if retain else ""
    raise PublishError(f"no answer of {topics.device} within {timeout_s:g} s: is it on?{later}")


def _connected(broker: MqttConfig) -> contextlib.AbstractContextManager[Connection]:
    return connect(broker, f"edge-ask-{secrets.token_hex(6)}")


def _shown(broker: MqttConfig, topics: Topics) -> dict[str, str]:
    """Return the status of the boxes that the broker shows to this user; of many, perhaps not all.

    The look has a connection of its own: some brokers end it where the user may not subscribe.
    """
    with contextlib.suppress(PublishError), _connected(broker) as connection:
        # QoS 0 has no limit of messages in flight.
        connection.subscribe([Topics(topics.prefix, "+").status()], qos=0)
        connection.subscribe([topics.answer()])
        return _statuses(connection.received())
    return {}


def _statuses(kept: Sequence[Received]) -> dict[str, str]:
    """Return the status of each box, by its name."""
    return {
        received.topic.split("/")[-2]: received.payload.decode("utf-8", "replace")
        for received in kept
        if received.topic.endswith("/status") and received.payload
    }


def _away(device: str, statuses: Mapping[str, str]) -> str | None:
    """Return why a box does not answer now; None where it may, or the broker shows nothing."""
    word = statuses.get(device)
    if word in OFF:
        return f"{device} is off, its status is {word!r}"
    if statuses and word is None:
        hint = suggestion(device, sorted(statuses))
        return f"the broker shows no box {device!r} ({hint})"
    return None


def _fate(command: Message, terms: Terms) -> str:
    """Return what becomes of a command to a box that is off."""
    if not command.retain:
        return "nothing was sent"
    if not command.payload:
        return (
            "it keeps its rules and its profile, because a broker keeps no empty message:"
            " reset it again once it is on"
        )
    if not terms.retain:
        return "this broker keeps no message for it: send it again once it is on"
    return "it finds this when it is on again"


def _acknowledged(connection: Connection, end: float) -> None:
    """Wait until the broker has the message that was published.

    Raises:
        PublishError: It refuses the message, or does not take it in time.
    """
    while time.monotonic() < end:
        for answer in connection.acknowledged():
            if answer.refused:
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
