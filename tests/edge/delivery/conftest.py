"""An outbox, publishers for it, and messages that mean nothing."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.config.models import MqttConfig
from edge.mqtt import Publisher, Retry
from edge.outbox import Outbox
from edge.payloads import Message, Topics

TOPICS = Topics("edge", "box")


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with contextlib.closing(Outbox(tmp_path / "state" / "outbox.db", 64 * 1024 * 1024)) as box:
        yield box


@pytest.fixture
def publish(outbox: Outbox) -> Iterator[Callable[..., Publisher]]:
    """Started publishers for the fixture's outbox; they hardly wait between connections."""
    publishers: list[Publisher] = []

    def start(config: MqttConfig, **options: object) -> Publisher:
        options.setdefault("retry", Retry(first=0.05, most=0.2, refused=0.2))
        publishers.append(Publisher(config, "box", outbox, **options))
        publishers[-1].start()
        return publishers[-1]

    yield start
    for publisher in publishers:
        publisher.stop(1)


def _message(kind: str, body: bytes, camera: str) -> Message:
    topic = {
        "alert": TOPICS.alert(camera),
        "snapshot": TOPICS.snapshot(camera, "01JX7ZK4Q8V5R2M9T6B3N0C1DE"),
        "embedding": TOPICS.embedding(camera),
    }[kind]
    return Message(topic, body, kind, camera, 1, False, "application/octet-stream")


@pytest.fixture(scope="session")
def message() -> Callable[..., Message]:
    """A small message by kind and body; its content matters to nobody."""

    def make(kind: str, body: bytes | int, camera: str = "yard") -> Message:
        return _message(kind, b"%d" % body if isinstance(body, int) else body, camera)

    return make
