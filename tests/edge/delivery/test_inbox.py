"""Commands come in on the publisher's connection, and never cost an alert."""

from collections.abc import Callable

import pytest
from live_broker import Broker, Listen, MakeBroker, Tell
from paho.mqtt import publish as mqtt_publish
from patience import Eventually
from publishing import MakeMessage, StartPublisher
from scripted_broker import ScriptedBroker

from edge.delivery.inbox import Inbox
from edge.delivery.message import Message, Received
from edge.delivery.outbox import Outbox

pytestmark = pytest.mark.broker

COMMAND = "edge/box/prompts/set"


def acknowledge(_count: int, packet: bytes) -> bytes:
    return b"\x40\x02" + packet


@pytest.fixture
def heard() -> list[Received]:
    return []


@pytest.fixture
def inbox(heard: list[Received]) -> Inbox:
    return Inbox([COMMAND], heard.append)


def test_a_command_arrives_with_where_its_answer_is_wanted(
    broker: Broker,
    inbox: Inbox,
    heard: list[Received],
    publish: StartPublisher,
    tell: Tell,
    eventually: Eventually,
) -> None:
    publisher = publish(broker.config(), inbox=inbox)
    eventually(lambda: "edge/box/prompts/set (QoS 1)" in broker.log(), "the subscription")
    tell(broker.port, COMMAND, b"hello", ResponseTopic="me/here", CorrelationData=b"\x00\x07")
    eventually(lambda: heard, "the command")
    assert publisher.connected
    (command,) = heard
    assert (command.topic, command.payload, command.retain) == (COMMAND, b"hello", False)
    assert (command.response, command.correlation) == ("me/here", b"\x00\x07")


def test_over_mqtt_3_a_command_arrives_without_an_address(
    broker: Broker,
    inbox: Inbox,
    heard: list[Received],
    publish: StartPublisher,
    tell: Tell,
    eventually: Eventually,
) -> None:
    publish(broker.config(protocol="3.1.1"), inbox=inbox)
    eventually(lambda: "edge/box/prompts/set (QoS 1)" in broker.log(), "the subscription")
    tell(broker.port, COMMAND, b"hello", ResponseTopic="me/here")
    eventually(lambda: heard, "the command")
    assert heard[0].response is None


def test_an_answer_gives_the_correlation_back(
    broker: Broker,
    listen: Listen,
    publish: StartPublisher,
    eventually: Eventually,
) -> None:
    listener = listen(broker.port, "me/#")
    publisher = publish(broker.config())
    answers = [
        Message("me/here", b"{}", "answer", None, 1, False, "application/json", correlation=mark)
        for mark in (b"1", b"2")
    ]
    for answer in answers:
        publisher.publish_now(answer)
    eventually(lambda: len(listener.heard) == 2, "both answers")
    assert [message.properties.CorrelationData for message in listener.heard] == [b"1", b"2"]


def test_what_the_broker_kept_arrives_anew_at_each_connect(
    broker: Broker,
    inbox: Inbox,
    heard: list[Received],
    publish: StartPublisher,
    tell: Tell,
    eventually: Eventually,
) -> None:
    tell(broker.port, COMMAND, b"desired", retain=True)
    publish(broker.config(), inbox=inbox)
    eventually(lambda: [command.retain for command in heard] == [True], "the kept one")
    # Another client of our id: the broker closes our connection.
    mqtt_publish.single("x", b"", hostname="127.0.0.1", port=broker.port, client_id="edge-box")
    eventually(lambda: len(heard) == 2, "the kept one again")


def test_what_was_said_while_the_box_was_away_is_not_heard_later_unless_it_is_retained(
    broker: Broker,
    heard: list[Received],
    publish: StartPublisher,
    tell: Tell,
    eventually: Eventually,
) -> None:
    inbox = Inbox([COMMAND, "edge/box/prompt/+/+/set"], heard.append)
    publisher = publish(broker.config(), inbox=inbox)
    eventually(lambda: "/set (QoS 1)" in broker.log(), "the subscription")
    publisher.stop(5)
    tell(broker.port, "edge/box/prompt/van/test/set", b"stale")
    tell(broker.port, COMMAND, b"lasting", retain=True)
    again = publish(
        broker.config(), inbox=Inbox([COMMAND, "edge/box/prompt/+/+/set"], heard.append)
    )
    eventually(lambda: heard, "what is retained")
    tell(broker.port, "edge/box/prompt/van/test/set", b"fresh")
    eventually(lambda: len(heard) > 1, "what is said now")
    assert [one.payload for one in heard] == [b"lasting", b"fresh"]
    assert again.connected


def test_a_forbidden_subscription_is_reported_once_and_alerts_go_on(
    scripted: Callable[..., ScriptedBroker],
    inbox: Inbox,
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = scripted(acknowledge, suback=b"\x87")
    publisher = publish(broker.config, inbox=inbox)
    outbox.put([message("alert", number) for number in range(20)])
    eventually(lambda: publisher.health().delivered.get("alert") == 20, "all alerts")
    publisher.stop(1)
    assert broker.subscriptions == 1
    assert caplog.text.count("refuses the subscription 'edge/box/prompts/set'") == 1


def test_a_connection_that_ends_during_the_subscription_is_no_refused_subscription(
    scripted: Callable[..., ScriptedBroker],
    inbox: Inbox,
    publish: StartPublisher,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Another client with our id takes the session over at just that moment."""
    taken_over = b"\xe0\x02\x8e\x00"

    def answer(number: int, packet: bytes) -> bytes:
        return taken_over if number == 1 else b"\x90\x04" + packet + b"\x00\x01"

    broker = scripted(acknowledge, suback=answer)
    publisher = publish(broker.config, inbox=inbox)
    eventually(lambda: broker.subscriptions == 2, "the next subscription")
    publisher.stop(1)
    assert "another client of the same id" in caplog.text
    assert "commands over MQTT may not arrive" not in caplog.text


def test_a_broker_that_hangs_up_over_the_subscription_gets_the_alerts_without(
    scripted: Callable[..., ScriptedBroker],
    inbox: Inbox,
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = scripted(acknowledge, suback=None)
    publisher = publish(broker.config, inbox=inbox)
    outbox.put([message("alert", number) for number in range(20)])
    eventually(lambda: publisher.health().delivered.get("alert") == 20, "all alerts")
    said = "broke 3 connections in a row over the subscription"
    eventually(lambda: said in caplog.text, "the rest")
    publisher.stop(1)
    assert broker.subscriptions == 3


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_command_that_is_too_large_is_never_in_memory_and_the_next_one_arrives(
    broker: Broker,
    inbox: Inbox,
    heard: list[Received],
    publish: StartPublisher,
    tell: Tell,
    eventually: Eventually,
    protocol: str,
) -> None:
    publisher = publish(broker.config(protocol=protocol), inbox=inbox)
    eventually(lambda: "edge/box/prompts/set (QoS 1)" in broker.log(), "the subscription")
    tell(broker.port, COMMAND, b"x" * 255 * 1024)
    eventually(lambda: heard, "what is not too large")
    tell(broker.port, COMMAND, b"x" * 40_000_000)
    # Over 3.1.1 the box has no way to say so but hanging up.
    eventually(lambda: _heard_again(broker, tell, heard) and publisher.connected, "the next", 30)
    assert max(len(command.payload) for command in heard) == 255 * 1024
    if protocol == "5":
        assert broker.log().count("as edge-box (") == 1


def test_a_command_that_is_too_large_and_kept_costs_no_alert(
    broker: Broker,
    inbox: Inbox,
    heard: list[Received],
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    tell: Tell,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tell(broker.port, COMMAND, b"x" * 10_000_000, retain=True)
    publisher = publish(broker.config(protocol="3.1.1"), inbox=inbox)
    outbox.put([message("alert", number) for number in range(20)])
    eventually(lambda: publisher.health().delivered.get("alert") == 20, "all alerts")
    eventually(lambda: "in a row over the subscription" in caplog.text, "the rest")
    outbox.put([message("alert", 20)])
    eventually(lambda: publisher.health().delivered.get("alert") == 21, "one alert more")
    assert "expected packets of up to 262144 bytes, found one of 10000" in caplog.text
    assert heard == []


def _heard_again(broker: Broker, tell: Tell, heard: list[Received]) -> bool:
    tell(broker.port, COMMAND, b"next")
    return any(command.payload == b"next" for command in heard)


def test_what_the_broker_keeps_and_nobody_can_read_costs_no_alert(
    scripted: Callable[..., ScriptedBroker],
    heard: list[Received],
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It follows each subscription, and ends the connection."""
    broker = scripted(acknowledge, suback=b"\x01\x00\x00")
    publisher = publish(broker.config, inbox=Inbox([COMMAND], heard.append, rest_s=32.0))
    outbox.put([message("alert", number) for number in range(20)])
    eventually(lambda: publisher.health().delivered.get("alert") == 20, "all alerts")
    eventually(lambda: "broke 3 connections in a row over the subscription" in caplog.text, "rest")
    assert broker.subscriptions == 3
    eventually(lambda: broker.subscriptions == 6, "three tries more after half a second")


def test_a_message_of_ours_that_ends_connections_is_not_blamed_on_the_subscription(
    scripted: Callable[..., ScriptedBroker],
    inbox: Inbox,
    publish: StartPublisher,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = scripted(acknowledge, hates=b"/bad")
    publisher = publish(broker.config, inbox=inbox)
    for number in range(1, 4):
        answer = Message(f"{number}/bad", b"", "answer", None, 1, False, "application/json")
        publisher.publish_now(answer)
    eventually(lambda: publisher.health().refused == {"answer": 3}, "three quarantines", 30)
    publisher.publish_now(Message("good", b"", "answer", None, 1, False, "application/json"))
    eventually(lambda: b"good" in broker.topics, "an answer")
    assert broker.connections >= 10
    assert "in a row over the subscription" not in caplog.text


def test_a_subscription_that_was_refused_is_asked_for_again(
    scripted: Callable[..., ScriptedBroker],
    heard: list[Received],
    publish: StartPublisher,
    eventually: Eventually,
) -> None:
    broker = scripted(acknowledge, suback=b"\x87")
    publish(broker.config, inbox=Inbox([COMMAND], heard.append, rest_s=0.05))
    eventually(lambda: broker.subscriptions >= 2, "another try")


def test_what_is_retained_and_too_large_does_not_break_every_connection(
    make_broker: MakeBroker,
    publish: StartPublisher,
    message: MakeMessage,
    outbox: Outbox,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = make_broker("max_packet_size 5000").start()
    publisher = publish(broker.config())
    large = Message("edge/box/prompts/state", b"x" * 6000, "state", None, 1, True, "text/plain")
    publisher.publish_now(large)
    outbox.put([message("alert", number) for number in range(3)])
    eventually(lambda: publisher.health().delivered.get("alert") == 3, "alerts")
    assert "takes packets of up to 5000 bytes" in caplog.text
    assert publisher.connected
