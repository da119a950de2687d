"""The broker that the demo brings: what the daemon needs of one, it has."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from patience import Eventually

from edge.cli.demo import broker as module
from edge.cli.demo.broker import LocalBroker
from edge.config.models import MqttConfig
from edge.delivery.message import Message, Received
from edge.delivery.mqtt.answers import Acknowledged
from edge.delivery.mqtt.dialer import connect
from edge.delivery.outbox import Outbox
from edge.delivery.payloads import status_message
from edge.delivery.publisher import Publisher
from edge.delivery.topics import Topics
from edge.errors import ConfigError

TOPICS = Topics("edge", "box")


@pytest.fixture
def local_broker() -> Iterator[MqttConfig]:
    with LocalBroker() as broker:
        yield MqttConfig(host="127.0.0.1", port=broker.port, protocol="3.1.1")


def alert(number: int) -> Message:
    topic = TOPICS.alert("yard")
    return Message(topic, b"%d" % number, "alert", "yard", 1, False, "application/json")


def test_a_retained_message_waits_for_its_subscriber(
    local_broker: MqttConfig, eventually: Eventually
) -> None:
    with connect(local_broker, "publisher") as publisher:
        publisher.publish(status_message(TOPICS, "online"))
        acknowledged: list[Acknowledged] = []

        def acknowledges() -> list[Acknowledged]:
            publisher.poll(0.1)
            acknowledged.extend(publisher.acknowledged())
            return acknowledged

        eventually(acknowledges, "PUBACK")
    with connect(local_broker, "late") as subscriber:
        subscriber.subscribe(["edge/#"])
        received: list[Received] = []

        def receives() -> list[Received]:
            subscriber.poll(0.1)
            received.extend(subscriber.received())
            return received

        eventually(receives, "the retained status")
    assert [(m.topic, m.payload, m.retain) for m in received] == [
        ("edge/box/status", b"online", True)
    ]


def test_alerts_pictures_and_the_goodbye_arrive_in_order(
    local_broker: MqttConfig, tmp_path: Path, eventually: Eventually
) -> None:
    picture = b"\xff" * 500_000
    snapshot = Message(TOPICS.snapshot("yard", "x"), picture, "snapshot", "yard", 1, False, "-")
    with (
        closing(Outbox(tmp_path / "outbox.db", 2**24)) as outbox,
        connect(local_broker, "subscriber") as subscriber,
    ):
        subscriber.subscribe(["edge/#"])
        outbox.put([alert(number) for number in range(200)])
        outbox.put([snapshot])
        publisher = Publisher(local_broker, "box", outbox)
        publisher.start()
        received: list[Received] = []

        def heard(topic: str) -> list[bytes]:
            subscriber.poll(0.05)
            received.extend(subscriber.received())
            return [message.payload for message in received if message.topic == topic]

        eventually(lambda: heard(snapshot.topic) == [picture], "the picture")
        publisher.stop(5)
        eventually(lambda: heard(TOPICS.status())[-1:] == [b"stopped"], "the goodbye")
    assert heard_alerts(received) == list(range(200))
    assert received[-1].topic == TOPICS.status()


def heard_alerts(received: list[Received]) -> list[int]:
    return [int(m.payload) for m in received if m.topic == TOPICS.alert("yard")]


def test_two_brokers_side_by_side_have_ports_of_their_own() -> None:
    with LocalBroker() as one, LocalBroker() as other:
        assert one.port != other.port
        assert min(one.port, other.port) > 0


def test_without_the_extra_the_user_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match=r"amqtt.*pip install 'camera-edge-runtime\[demo\]'"):
        LocalBroker()
