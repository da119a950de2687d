"""Tries whether the broker lets this box write to each topic of the contract (docs/mqtt.md)."""

import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from ulid import ULID

from edge.config.models import Config
from edge.control.announce.homeassistant import components_of, discovery_message
from edge.control.announce.messages import settings_of
from edge.delivery.message import Message
from edge.delivery.mqtt.connection import Connection
from edge.delivery.mqtt.paho_client import packet_size
from edge.delivery.payloads import status_message
from edge.delivery.topics import Topics
from edge.errors import PublishError

_FAILURE: Final = 0x80
# Messages on the wire at once; a broker that ends the connection over one of them is named by it.
_WINDOW: Final = 20
_LONGEST_S: Final = 15.0
_NAMED: Final = 4


def trials(config: Config, topics: Topics, *, status: bool) -> list[Message]:
    """Return a message for each topic that a box of this configuration publishes to.

    They are not retained and empty, but for those that somebody would act on: the description for
    Home Assistant, which removes a device whose description is empty, and the status.

    Args:
        config: Configuration of the box.
        topics: Its topics.
        status: Whether to publish the status "stopped" too.
    """
    rules = {
        name: [rule for rule in config.prompts if camera.watched_by(rule)]
        for name, camera in config.cameras.items()
    }
    found = [_empty(topic) for topic in _topics(config, topics, rules)]
    if status:
        found.append(replace(status_message(topics, "stopped"), retain=False))
    if config.homeassistant.discovery:
        components = components_of(config.prompts, rules)
        described = discovery_message(config.homeassistant, topics, components, {})
        found.append(replace(described, retain=False))
    return found


def refused_topics(connection: Connection, messages: list[Message]) -> dict[str, str]:
    """Publish messages; return the reason of the broker for each topic that it refuses.

    Raises:
        PublishError: The connection was lost over one of them, or nothing is acknowledged.
    """
    limit = connection.terms.max_packet
    waiting, sent, refused = deque(messages), dict[int | None, str](), dict[str, str]()
    end = time.monotonic() + _LONGEST_S
    while waiting or sent:
        while waiting and len(sent) < min(_WINDOW, connection.terms.receive_maximum):
            message = waiting.popleft()
            if limit is not None and packet_size(message) > limit:
                refused[message.topic] = f"takes packets of up to {limit} bytes"
            else:
                sent[connection.publish(message)] = message.topic
        try:
            connection.poll(1.0)
        except PublishError as exc:
            raise PublishError(f"{exc}, over {' or '.join(list(sent.values())[:_NAMED])}") from exc
        for answer in connection.acknowledged():
            topic = sent.pop(answer.packet, None)
            if topic is not None and answer.code >= _FAILURE:
                refused[topic] = answer.reason
        if time.monotonic() > end:
            raise PublishError(f"the broker acknowledged nothing on {next(iter(sent.values()))}")
    return refused


def named(refused: Mapping[str, str]) -> str:
    """Return some of the refused topics with their reasons, and how many more there are."""
    some = [f"{topic} ({reason})" for topic, reason in list(refused.items())[:_NAMED]]
    more = len(refused) - len(some)
    return ", ".join(some) + (f" and {more} more" if more else "")


def _topics(config: Config, topics: Topics, rules: Mapping[str, list[str]]) -> Iterator[str]:
    for camera, watched in rules.items():
        yield topics.alert(camera)
        if config.snapshots.publish:
            yield topics.snapshot(camera, str(ULID()))
        if config.embeddings.publish != "off":
            yield topics.embedding(camera)
        yield topics.state(camera)
        for rule in watched:
            yield topics.alerting(camera, rule)
            if config.homeassistant.discovery:
                yield topics.latest_snapshot(camera, rule)
    yield topics.device_state()
    yield topics.answer()
    yield topics.in_force("prompts")
    yield topics.in_force("profile")
    for name, prompt in config.prompts.items():
        for feature in settings_of(prompt):
            yield topics.in_force("prompt", name, feature)


def _empty(topic: str) -> Message:
    return Message(topic, b"", "state", None, 1, False, "application/octet-stream", "edge-check/1")
