"""Messages that end connections, windows that are narrow, and the order on the wire."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from live_broker import Broker, Listen, MakeBroker
from patience import Eventually
from publishing import MakeMessage, StartPublisher
from scripted_broker import ScriptedBroker

from edge.delivery.message import Kind, Message
from edge.delivery.outbox import Outbox
from edge.delivery.publisher import PublisherTimings

pytestmark = pytest.mark.broker


def acknowledge(_count: int, packet: bytes) -> bytes:
    return b"\x40\x02" + packet


def answer(topic: str, body: bytes = b"{}") -> Message:
    return Message(topic, body, "answer", None, 1, False, "application/json")


def state(topic: str, body: bytes = b"ON", qos: int = 1) -> Message:
    return Message(topic, body, "state", None, 1 if qos else 0, True, "text/plain")


def test_an_answer_that_the_broker_hangs_up_over_costs_only_itself(
    broker: Broker,
    listen: Listen,
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Mosquitto takes topics of up to 200 levels."""
    listener = listen(broker.port, "#")
    publisher = publish(broker.config())
    publisher.publish_now(answer("a/" * 250 + "b"))
    publisher.publish_now(answer("me/here"))
    publisher.publish_now(state("edge/box/prompts/state"))
    outbox.put([message("alert", number) for number in range(20)])
    eventually(lambda: publisher.health().refused.get("answer") == 1, "the quarantine", 30)
    eventually(lambda: listener.payloads("me/here"), "the other answer")
    eventually(lambda: listener.payloads("prompts/state"), "the state")
    eventually(lambda: publisher.health().delivered.get("alert") == 20, "alerts")
    assert caplog.text.count("closes the connection on it, 3 times in a row") == 1
    outbox.put([message("alert", 20)])
    eventually(lambda: publisher.health().delivered.get("alert") == 21, "one alert more")
    assert publisher.connected


def test_an_answer_that_the_broker_hangs_up_over_goes_to_the_box_s_own_topic(
    scripted: Callable[..., ScriptedBroker],
    publish: StartPublisher,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = scripted(acknowledge, hates=b"/bad")
    publisher = publish(broker.config)
    instead = answer("edge/box/answer")
    publisher.publish_now(replace(answer("app/bad"), otherwise=instead))
    eventually(lambda: b"edge/box/answer" in broker.topics, "the other topic", 30)
    assert publisher.health().refused == {}
    assert "dropped" not in caplog.text
    said = "refuses messages on app/bad: it closes the connection, 3 times in a row; answering on"
    assert caplog.text.count(said) == 1


@pytest.mark.parametrize("qos", [0, 1])
def test_a_retained_message_that_the_broker_hangs_up_over_waits_and_the_others_go_on(
    scripted: Callable[..., ScriptedBroker],
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
    qos: int,
) -> None:
    broker = scripted(acknowledge, hates=b"/bad")
    publisher = publish(broker.config, timings=PublisherTimings(rest_s=1.0))
    for name in ("one", "bad", "two"):
        publisher.publish_now(state(f"edge/box/{name}", qos=qos))
    outbox.put([message("alert", 1), message("embedding", 1)])
    delivered = {"alert": 1, "embedding": 1}
    eventually(lambda: publisher.health().quarantined == ("edge/box/bad",), "the quarantine", 30)
    eventually(lambda: publisher.health().delivered == delivered, "alert and embedding")
    eventually(lambda: broker.topics[-1] != b"edge/box/bad" and publisher.connected, "a connection")
    assert broker.topics.count(b"edge/box/bad") <= 6
    assert b"edge/box/two" in broker.topics
    # A box that works again is believed: it is tried once more when its time is over.
    tries = broker.topics.count(b"edge/box/bad")
    eventually(lambda: not publisher.health().quarantined, "the end of the quarantine")
    publisher.publish_now(state("edge/box/bad", b"new", qos))
    eventually(lambda: broker.topics.count(b"edge/box/bad") > tries, "another try")


def test_an_alert_that_the_broker_hangs_up_over_lets_the_others_pass_and_is_not_given_up(
    scripted: Callable[..., ScriptedBroker],
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
) -> None:
    broker = scripted(acknowledge, hates=b"gate/alert")
    publisher = publish(broker.config, timings=PublisherTimings(rest_s=0.5))
    outbox.put([message("alert", 0, "gate"), message("alert", 1), message("embedding", 2)])
    delivered = {"alert": 1, "embedding": 1}
    eventually(lambda: publisher.health().delivered == delivered, "the others", 30)
    tries = broker.topics.count(b"edge/box/gate/alert")
    eventually(lambda: broker.topics.count(b"edge/box/gate/alert") > tries, "another try")
    assert outbox.counts().queued["alert"] == 1
    assert publisher.health().refused == {}


@pytest.mark.parametrize("kind", ["alert", "embedding"])
def test_a_topic_that_the_broker_hangs_up_over_rests_whatever_is_sent_on_it(
    scripted: Callable[..., ScriptedBroker],
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
    kind: Kind,
) -> None:
    broker = scripted(acknowledge, hates=f"gate/{kind}".encode())
    publisher = publish(broker.config)
    for number in range(20):
        outbox.put([message(kind, number, "gate"), message(kind, number)])
    eventually(lambda: publisher.health().delivered == {kind: 20}, "those of the other camera", 30)
    connections = broker.connections
    assert connections <= 9  # the first break, three for each of two messages, and some to spare
    outbox.put([message(kind, 20, "gate"), message(kind, 20)])
    eventually(lambda: publisher.health().delivered == {kind: 21}, "one more")
    assert broker.connections == connections


@pytest.mark.parametrize("first", [b"/status", b"box/state"])
def test_a_broker_that_hangs_up_over_what_comes_first_gets_the_rest(
    scripted: Callable[..., ScriptedBroker],
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
    first: bytes,
) -> None:
    broker = scripted(acknowledge, hates=first)
    publisher = publish(broker.config)
    publisher.publish_now(state("edge/box/state"))
    publisher.publish_now(answer("me/answers"))
    outbox.put([message("alert", 1), message("snapshot", 2)])
    delivered = {"alert": 1, "snapshot": 1}
    eventually(lambda: publisher.health().delivered == delivered, "alert and snapshot", 30)
    eventually(lambda: b"me/answers" in broker.topics, "the answer")
    topic = {b"/status": "edge/box/status"}.get(first, "edge/box/state")
    eventually(lambda: publisher.health().quarantined == (topic,), "the report")
    assert publisher.health().refused == {}


def test_a_broker_that_hangs_up_over_everything_loses_nothing(
    scripted: Callable[..., ScriptedBroker],
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
) -> None:
    broker = scripted(acknowledge, hates=b"")  # the ending of every topic
    publisher = publish(broker.config, timings=PublisherTimings(rest_s=6.4))
    publisher.publish_now(answer("me/answers"))
    outbox.put([message("snapshot", 1)])
    eventually(lambda: broker.connections >= 12, "many connections", 30)
    assert publisher.health().refused == {}
    broker.hates = None
    eventually(lambda: publisher.health().delivered == {"snapshot": 1}, "delivery")
    eventually(lambda: b"me/answers" in broker.topics, "the answer")


def test_messages_from_memory_respect_the_receive_maximum(
    scripted: Callable[..., ScriptedBroker], publish: StartPublisher, eventually: Eventually
) -> None:
    """Receive maximum 3, and no acknowledgement ever after the status."""
    broker = scripted(
        lambda number, packet: acknowledge(number, packet) if number == 1 else b"",
        connack=b"\x03\x21\x00\x03",
    )
    publisher = publish(broker.config)
    for number in range(20):
        publisher.publish_now(answer(f"me/{number}"))
        publisher.publish_now(state(f"edge/box/{number}"))
    eventually(lambda: len(broker.topics) >= 4, "a full window")
    started = time.monotonic()
    publisher.stop(1.0)
    assert time.monotonic() - started < 1.0  # it ended by itself; nobody gave up waiting for it
    assert not publisher.health().running
    # The status was acknowledged. "stopped" goes out with QoS 0, which no window limits.
    eventually(lambda: broker.topics[-1] == b"edge/box/status", "the farewell")
    assert len(broker.topics) == 5


def test_a_broker_that_enforces_its_receive_maximum_never_hangs_up(
    make_broker: MakeBroker,
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
) -> None:
    broker = make_broker("max_inflight_messages 3").start()
    outbox.put([message("alert", number) for number in range(100)])
    publisher = publish(broker.config())
    for number in range(300):
        publisher.publish_now(state(f"edge/box/{number}"))
        publisher.publish_now(answer(f"me/{number}"))
    eventually(lambda: broker.log().count("'me/299'") == 1, "the last answer")
    eventually(lambda: publisher.health().delivered == {"alert": 100}, "alerts")
    assert broker.log().count("New client connected") == 1
    assert publisher.health().forgotten == {}


def test_alerting_never_overtakes_its_alert(
    make_broker: MakeBroker,
    listen: Listen,
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
) -> None:
    broker = make_broker().start()
    listener = listen(broker.port, "#")
    publisher = publish(broker.config())
    eventually(lambda: listener.payloads("status"), "a connection")
    for number in range(300):
        alert = message("alert", number)
        if number % 3:
            outbox.put([alert])
        else:
            publisher.publish_now(alert)  # the disk fails
        publisher.publish_now(state(f"edge/box/yard/{number}/alerting"))
    eventually(lambda: len(listener.heard) >= 601, "all messages")
    heard = [found for found in listener.heard if not found.topic.endswith("status")]
    alerts: set[bytes] = set()
    for found in heard:
        if found.topic.endswith("alerting"):
            assert found.topic.split("/")[3].encode() in alerts
        else:
            alerts.add(found.payload)


def test_alerting_never_overtakes_an_alert_of_an_outage(
    make_broker: MakeBroker,
    listen: Listen,
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
) -> None:
    broker = make_broker()
    publisher = publish(broker.config())
    outbox.put([message("alert", number) for number in range(500)])
    publisher.publish_now(message("alert", 500))  # the disk fails
    publisher.publish_now(state("edge/box/yard/van/alerting"))
    broker.start()
    listener = listen(broker.port, "#")
    eventually(lambda: listener.payloads("alerting"), "ON")
    live = [found.topic.rpartition("/")[2] for found in listener.heard if not found.retain]
    # A listener that came late heard only the end: ON is still the last.
    assert live[-1:] == ["alerting"] or not live
    eventually(lambda: publisher.health().delivered == {"alert": 500}, "all acknowledgements")


def test_after_a_restart_of_the_broker_the_status_is_first_and_every_topic_is_there(
    make_broker: MakeBroker,
    listen: Listen,
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
) -> None:
    """16 cameras with 55 rules and discovery."""
    broker = make_broker("max_queued_messages 0").start()
    publisher = publish(broker.config())
    topics = [f"edge/box/cam{c}/rule{r}/alerting" for c in range(16) for r in range(55)]
    topics += [f"edge/box/prompt/rule{r}/{s}/state" for r in range(55) for s in "abcde"]
    for topic in topics:
        publisher.publish_now(state(topic))
    eventually(lambda: f"'{topics[-1]}'" in broker.log(), "the last topic")
    broker.kill()
    eventually(lambda: not publisher.connected, "an outage")
    outbox.put([message("alert", number) for number in range(50)])
    start = len(broker.log())
    broker.start()
    eventually(lambda: f"'{topics[-1]}'" in broker.log()[start:], "the last topic again")
    published = [line for line in broker.log()[start:].splitlines() if "Received PUBLISH" in line]
    assert "'edge/box/status'" in published[0]
    listener = listen(broker.port, "#")
    wanted = {*topics, "edge/box/status"}
    eventually(lambda: {found.topic for found in listener.heard} >= wanted, "every topic")


def test_a_large_window_is_full_when_its_bytes_are_many(
    scripted: Callable[..., ScriptedBroker],
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
) -> None:
    broker = scripted(lambda number, packet: acknowledge(number, packet) if number == 1 else b"")
    picture = b"x" * (1024 * 1024)
    outbox.put([message("snapshot", picture) for _ in range(12)])
    assert len(outbox.pending(12)) == 4
    publisher = publish(broker.config)
    eventually(lambda: len(broker.topics) >= 5, "a full window")
    publisher.stop(0.5)
    snapshots = [topic for topic in broker.topics if b"snapshot" in topic]
    assert len(snapshots) == 4


def test_a_refused_message_from_memory_is_reported_and_counted(
    scripted: Callable[..., ScriptedBroker],
    publish: StartPublisher,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = scripted(
        lambda number, packet: b"\x40\x03" + packet + (b"\x87" if number > 1 else b"\x00")
    )
    publisher = publish(broker.config)
    for number in range(5):
        publisher.publish_now(replace(state(f"ha/device/{number}/config"), camera=None))
    eventually(lambda: publisher.health().refused == {"state": 5}, "five refusals")
    assert caplog.text.count("refuses messages on ha/device/0/config: Not authorized") == 1
    assert "ha/device/1/config" not in caplog.text
