"""An outbox, publishers for it, and messages that mean nothing."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.config.models import MqttConfig
from edge.delivery.message import Message
from edge.delivery.outbox import Outbox
from edge.delivery.publisher import Publisher
from edge.delivery.topics import Topics
from edge.system.backoff import Backoff, RetryPolicy

TOPICS = Topics("edge", "box")
SOON = RetryPolicy(
    unreachable=Backoff(first_s=0.05, cap_s=0.2, shortest_share=0.5),
    refused=Backoff(first_s=0.2, cap_s=0.2, shortest_share=1.0),
)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with contextlib.closing(Outbox(tmp_path / "state" / "outbox.db", 64 * 1024 * 1024)) as box:
        yield box


@pytest.fixture
def publish(outbox: Outbox) -> Iterator[Callable[..., Publisher]]:
    """Started publishers for the fixture's outbox; they hardly wait between connections."""
    publishers: list[Publisher] = []

    def start(config: MqttConfig, **options: object) -> Publisher:
        publishers.append(Publisher(config, "box", outbox, **{"retry": SOON} | options))
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


class ScriptedBroker:
    """Answers as no installed broker can be made to: speaks just enough MQTT 5 to say no."""

    def __init__(
        self,
        answer: Callable[[int, bytes], bytes],
        connack: bytes = b"\x00",
        suback: bytes | None = b"\x01",
    ) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.config = MqttConfig(host="127.0.0.1", port=self.server.getsockname()[1], protocol="5")
        self.topics: list[bytes] = []
        self.subscriptions = 0
        self._answer, self._connack, self._suback = answer, connack, suback
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return  # closed
            with client, client.makefile("rb") as stream, contextlib.suppress(OSError):
                self._talk(client, stream)

    def _talk(self, client: socket.socket, stream: Any) -> None:
        while head := stream.read(1):
            length, shift = 0, 0
            while True:
                byte = stream.read(1)[0]
                length, shift = length | (byte & 127) << shift, shift + 7
                if byte < 128:
                    break
            body = stream.read(length)
            if head[0] >> 4 == 1:  # CONNECT
                client.sendall(bytes([0x20, 2 + len(self._connack), 0, 0]) + self._connack)
            elif head[0] >> 4 == 3:  # PUBLISH, QoS 1
                (size,) = struct.unpack_from("!H", body)
                self.topics.append(body[2 : 2 + size])
                client.sendall(self._answer(len(self.topics), body[2 + size : 4 + size]))
            elif head[0] >> 4 == 8:  # SUBSCRIBE, of one filter
                self.subscriptions += 1
                if self._suback is None:
                    return  # hangs up
                client.sendall(b"\x90\x04" + body[:2] + b"\x00" + self._suback)

    def close(self) -> None:
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self._thread.join(10)


@pytest.fixture
def scripted() -> Iterator[Callable[..., Any]]:
    brokers = []

    def make(answer: Callable[..., Any], **words: bytes | None) -> ScriptedBroker:
        brokers.append(ScriptedBroker(answer, **words))
        return brokers[-1]

    yield make
    for broker in brokers:
        broker.close()
