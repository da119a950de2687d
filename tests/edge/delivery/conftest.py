"""An outbox, publishers for it, and messages that mean nothing."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from publishing import SOON, TIMINGS, MakeMessage, StartPublisher
from scripted_broker import ScriptedBroker

from edge.config.models import MqttConfig
from edge.delivery.inbox import Inbox
from edge.delivery.message import Kind, Message
from edge.delivery.outbox import Outbox
from edge.delivery.publisher import Publisher, PublisherTimings
from edge.delivery.topics import Topics
from edge.system.backoff import RetryPolicy

TOPICS = Topics("edge", "box")


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with contextlib.closing(Outbox(tmp_path / "state" / "outbox.db", 64 * 1024 * 1024)) as box:
        yield box


@pytest.fixture
def publish(outbox: Outbox) -> Iterator[StartPublisher]:
    """Started publishers for the fixture's outbox; they hardly wait between connections."""
    publishers: list[Publisher] = []

    def start(
        config: MqttConfig,
        on_delivered: Callable[[Message, float], None] | None = None,
        *,
        inbox: Inbox | None = None,
        retry: RetryPolicy = SOON,
        timings: PublisherTimings = TIMINGS,
    ) -> Publisher:
        publishers.append(
            Publisher(
                config, "box", outbox, on_delivered, inbox=inbox, retry=retry, timings=timings
            )
        )
        publishers[-1].start()
        return publishers[-1]

    yield start
    for publisher in publishers:
        publisher.stop(1)


def _message(kind: Kind, body: bytes, camera: str) -> Message:
    topics: dict[Kind, str] = {
        "alert": TOPICS.alert(camera),
        "snapshot": TOPICS.snapshot(camera, "01JX7ZK4Q8V5R2M9T6B3N0C1DE"),
        "embedding": TOPICS.embedding(camera),
    }
    return Message(topics[kind], body, kind, camera, 1, False, "application/octet-stream")


@pytest.fixture(scope="session")
def message() -> MakeMessage:
    """A small message by kind and body; its content matters to nobody."""

    def make(kind: Kind, body: bytes | int, camera: str = "yard") -> Message:
        return _message(kind, b"%d" % body if isinstance(body, int) else body, camera)

    return make


@pytest.fixture
def scripted() -> Iterator[Callable[..., ScriptedBroker]]:
    brokers: list[ScriptedBroker] = []

    def make(answer: Callable[[int, bytes], bytes], **words: Any) -> ScriptedBroker:
        brokers.append(ScriptedBroker(answer, **words))
        return brokers[-1]

    yield make
    for broker in brokers:
        broker.close()
