"""Removes everything that a box which is gone left at a broker: its retained messages."""

import logging
import secrets
import time
from collections.abc import Sequence
from typing import Final

from edge.config.models import MqttConfig
from edge.delivery.message import Message, Received
from edge.delivery.mqtt.connection import Connection
from edge.delivery.mqtt.dialer import connect
from edge.delivery.mqtt.refusals import SubscriptionRefused
from edge.delivery.topics import Topics
from edge.errors import ConfigError, PublishError

logger = logging.getLogger(__name__)

_ANSWER_S: Final = 10.0
_AT_ONCE: Final = 50
_NAMED: Final = 5


def retire(
    broker: MqttConfig, topics: Topics, elsewhere: Sequence[str] = (), *, listen_s: float = 3.0
) -> int:
    """Remove all retained messages of a box, commands that wait for it included.

    Args:
        broker: Broker to clear.
        topics: Topics of the box.
        elsewhere: Topics of the box that are not below its own.
        listen_s: Seconds in which a box that is on is heard: it publishes its state every second.

    Returns:
        Number of messages removed.

    Raises:
        ConfigError: The box is on.
        PublishError: The broker is unreachable, or keeps messages in spite of this.
    """
    with connect(broker, f"edge-retire-{secrets.token_hex(6)}") as connection:
        found = _retained(_hear(connection, topics, elsewhere, listen_s), topics)
        _remove(connection, found)
    # A new connection: a broker of MQTT 3.1.1 cannot say that it has ignored a message.
    with connect(broker, f"edge-retire-{secrets.token_hex(6)}") as connection:
        left = _retained(_hear(connection, topics, elsewhere, listen_s), topics)
    if left:
        raise PublishError(
            f"{len(left)} messages are still retained, such as {', '.join(left[:_NAMED])}: this"
            " user may not write there"
        )
    return len(found)


def _hear(
    connection: Connection, topics: Topics, elsewhere: Sequence[str], seconds: float
) -> list[Received]:
    connection.subscribe([topics.everything()])
    try:
        connection.subscribe(elsewhere)
    except SubscriptionRefused as exc:
        logger.warning("%s; what may be retained there stays", exc)
    heard = connection.received()
    end = time.monotonic() + seconds
    while (left_s := end - time.monotonic()) > 0:
        connection.poll(left_s)
        heard += connection.received()
    return heard


def _retained(heard: Sequence[Received], topics: Topics) -> list[str]:
    """Return the topics of retained messages, the status last: it shows that the rest is there."""
    alive = [one.topic for one in heard if not one.retain and one.topic.endswith("/state")]
    if alive:
        raise ConfigError(
            f"{topics.device} is on: it has just published on {alive[0]}; stop it first"
        )
    status = topics.status()
    return sorted({one.topic for one in heard if one.retain}, key=lambda t: (t == status, t))


def _remove(connection: Connection, found: Sequence[str]) -> None:
    at_once = min(_AT_ONCE, connection.terms.receive_maximum)
    for begin in range(0, len(found), at_once):
        batch = found[begin : begin + at_once]
        waiting = {
            connection.publish(Message(topic, b"", "state", None, 1, True, "text/plain")): topic
            for topic in batch
        }
        end = time.monotonic() + _ANSWER_S
        while waiting:
            for answer in connection.acknowledged():
                topic = waiting.pop(answer.packet, "")
                if answer.refused:
                    logger.warning("the broker refuses to remove %s: %s", topic, answer.reason)
            if waiting and time.monotonic() > end:
                raise PublishError(f"the broker has not answered for {_ANSWER_S:g} s: try again")
            if waiting:
                connection.poll(0.1)
