"""Sends a command to a box over MQTT and waits for its answer."""

import contextlib
import secrets
import time

from pydantic import ValidationError

from edge.config.models import MqttConfig
from edge.delivery.connection import connect
from edge.delivery.message import Message
from edge.delivery.payloads import AnswerPayload
from edge.delivery.topics import Topics
from edge.errors import ConfigError, PublishError

_TICK_S = 1.0


def ask(
    broker: MqttConfig,
    topics: Topics,
    levels: tuple[str, ...],
    payload: bytes,
    *,
    retain: bool = False,
    timeout_s: float = 60.0,
) -> None:
    """Send a command, and wait until it is in force.

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
        while (remaining := end - time.monotonic()) > 0:
            connection.poll(min(_TICK_S, remaining))
            for received in connection.received():
                with contextlib.suppress(ValidationError):
                    answer = AnswerPayload.model_validate_json(received.payload)
                    if answer.topic == topic:
                        if answer.error is not None:
                            raise ConfigError(f"{topics.device} refuses it: {answer.error}")
                        return
    later = "; it finds this when it is on again" if retain else ""
    raise PublishError(f"no answer of {topics.device} within {timeout_s:g} s: is it on?{later}")
