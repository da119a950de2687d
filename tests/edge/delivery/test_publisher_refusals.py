"""Brokers that say no: to a connection, to a message, to an old or a new protocol."""

import logging
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from live_broker import Broker, Listen, MakeBroker
from patience import Eventually
from publishing import MakeMessage, StartPublisher
from scripted_broker import ScriptedBroker

from edge.config.models import HomeAssistantConfig, MqttConfig
from edge.control.answers import AnswerRoute
from edge.delivery.message import Received
from edge.delivery.mqtt.dialer import connect
from edge.delivery.mqtt.refusals import Refused
from edge.delivery.outbox import Outbox
from edge.delivery.publisher import PublisherTimings
from edge.delivery.topics import Topics
from edge.errors import PublishError
from edge.system.backoff import BROKER, Backoff, RetryPolicy

pytestmark = pytest.mark.broker

PASSWORD = "correct-horse-battery"

V311_ONLY = """
import asyncio, sys
from amqtt.broker import Broker

async def main():
    broker = Broker({
        "listeners": {"default": {"type": "tcp", "bind": "127.0.0.1:" + sys.argv[1]}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    })
    await broker.start()
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def old_broker() -> Iterator[int]:
    """A broker that speaks MQTT 3.1.1 only, on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", V311_ONLY, str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield port
        process.kill()


def test_an_old_broker_is_spoken_to_in_mqtt_3(
    old_broker: int,
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
) -> None:
    # It falls silent over an MQTT 5 CONNECT with a last will.
    timings = PublisherTimings(connect_s=1.0)
    publisher = publish(MqttConfig(host="127.0.0.1", port=old_broker), timings=timings)
    outbox.put([message("alert", number) for number in range(50)])
    eventually(lambda: not outbox.counts().queued["alert"], "empty outbox")
    assert publisher.health().protocol == "3.1.1"
    assert publisher.health().delivered == {"alert": 50}


def test_an_old_broker_is_an_error_where_mqtt_5_is_demanded(old_broker: int) -> None:
    config = MqttConfig(host="127.0.0.1", port=old_broker, protocol="5")
    refusal = pytest.raises(PublishError, match=r"Unsupported protocol version \(MQTT 5\)")
    with refusal, connect(config, "edge-box"):
        pass


@pytest.fixture
def guarded(make_broker: MakeBroker, tmp_path: Path) -> Broker:
    """A broker that wants a password and lets this box publish alerts only."""
    passwords, rights = tmp_path / "passwords", tmp_path / "rights"
    for flags, user in ((["-c"], "box"), ([], "listener")):
        subprocess.run(
            ["mosquitto_passwd", "-b", *flags, passwords, user, PASSWORD], check=True, timeout=20
        )
    rights.write_text(
        "user box\ntopic write edge/box/status\ntopic write edge/box/+/alert\n"
        "user listener\ntopic read #\n"
    )
    return make_broker(
        "allow_anonymous false", f"password_file {passwords}", f"acl_file {rights}"
    ).start()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_wrong_password_is_one_error_and_never_in_the_log(
    guarded: Broker,
    publish: StartPublisher,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
    protocol: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    config = guarded.config(username="box", password="hunter22-wrong", protocol=protocol)
    publisher = publish(config)
    attempts = "not authorised"
    eventually(lambda: guarded.log().count(attempts) >= 3, "three attempts")
    errors = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(errors) == 1
    assert "refuses the connection: Not authorized; check mqtt.username" in errors[0]
    assert "hunter22-wrong" not in caplog.text + str(publisher.health())


def test_refused_credentials_are_retried_slowly(
    guarded: Broker, publish: StartPublisher, eventually: Eventually
) -> None:
    publisher = publish(guarded.config(), retry=BROKER)
    eventually(lambda: publisher.health().error, "a refusal")
    assert "refuses the connection" in (publisher.health().error or "")
    assert publisher._retry.refused.delay_s(1, Random()) >= 60


def test_a_forbidden_topic_waits_and_the_others_go_on(
    guarded: Broker,
    listen: Listen,
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    listener = listen(guarded.port, username="listener", password=PASSWORD)
    publisher = publish(
        guarded.config(username="box", password=PASSWORD), timings=PublisherTimings(hold_s=1.0)
    )
    outbox.put([message("embedding", number) for number in range(300)])
    eventually(lambda: "Not authorized" in caplog.text, "a refusal")
    outbox.put([message("alert", number) for number in range(100)])
    eventually(lambda: publisher.health().delivered.get("alert") == 100, "all alerts")
    assert outbox.counts().queued["embedding"] == 300
    assert outbox.counts().dropped["embedding"] == 0

    (guarded.directory.parent / "rights").write_text("user box\ntopic write #\n")
    guarded.signal(signal.SIGHUP)  # read the rights again
    eventually(lambda: not outbox.counts().queued["embedding"], "all embeddings")
    assert publisher.health().delivered["embedding"] == 300
    assert len(listener.payloads("alert")) == 100


def test_an_answer_whose_topic_is_forbidden_goes_to_the_box_s_own_topic_with_a_word_in_the_log(
    guarded: Broker,
    listen: Listen,
    publish: StartPublisher,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (guarded.directory.parent / "rights").write_text(
        "user box\ntopic write edge/box/#\nuser listener\ntopic read #\n"
    )
    guarded.signal(signal.SIGHUP)  # read the rights again
    listener = listen(guarded.port, username="listener", password=PASSWORD)
    publisher = publish(guarded.config(username="box", password=PASSWORD))
    route = AnswerRoute(Topics("edge", "box"), HomeAssistantConfig())
    for number in range(2):
        asked = Received("edge/box/search", b"", response="app/inbox", correlation=b"%d" % number)
        publisher.publish_now(route.message(asked, b"found %d" % number, "edge-search/1"))
    eventually(lambda: len(listener.payloads("answer")) == 2, "both answers")
    assert listener.payloads("answer") == [b"found 0", b"found 1"]
    answers = [heard for heard in listener.heard if heard.topic == "edge/box/answer"]
    assert [heard.properties.CorrelationData for heard in answers] == [b"0", b"1"]
    (said,) = [line for line in caplog.messages if "app/inbox" in line]
    assert said.startswith("the broker refuses messages on app/inbox: Not authorized")
    assert said.endswith("; answering on edge/box/answer")
    assert publisher.health().refused == {}


def test_each_topic_that_is_refused_is_named_and_each_answer_that_is_lost(
    guarded: Broker,
    publish: StartPublisher,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The box's own topic of answers is forbidden too."""
    publisher = publish(guarded.config(username="box", password=PASSWORD))
    route = AnswerRoute(Topics("edge", "box"), HomeAssistantConfig())
    wanted = ["app/one", "app/two", "app/one", None]
    for response in wanted:
        asked = Received("edge/box/search", b"", response=response)
        publisher.publish_now(route.message(asked, b"found", "edge-search/1"))
    lost = "dropped a message on edge/box/answer (5 bytes): the broker says: Not authorized"
    eventually(lambda: caplog.text.count(lost) == 4, "a word for each that is lost")
    for topic in ("app/one", "app/two"):
        assert caplog.text.count(f"the broker refuses messages on {topic}: Not authorized") == 1
    eventually(lambda: publisher.health().refused == {"answer": 4}, "the count")


def test_a_message_above_the_declared_packet_size_costs_only_itself(
    make_broker: MakeBroker,
    listen: Listen,
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = make_broker("max_packet_size 5000").start()
    publisher = publish(broker.config())
    outbox.put([message("snapshot", b"x" * 6000), message("snapshot", b"small")])
    eventually(lambda: publisher.health().delivered.get("snapshot"), "the small one")
    eventually(lambda: not outbox.counts().queued["snapshot"], "empty outbox")
    assert publisher.health().refused == {"snapshot": 1}
    assert outbox.counts().dropped["snapshot"] == 1
    assert "takes packets of up to 5000 bytes" in caplog.text


def test_a_message_above_an_undeclared_limit_costs_only_itself(
    make_broker: MakeBroker,
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
) -> None:
    broker = make_broker("message_size_limit 5000").start()
    publisher = publish(broker.config())
    outbox.put([message("snapshot", b"x" * 6000), message("snapshot", b"small")])
    eventually(lambda: publisher.health().delivered.get("snapshot"), "the small one")
    eventually(lambda: not outbox.counts().queued["snapshot"], "empty outbox")
    assert publisher.health().refused == {"snapshot": 1}


def test_a_message_that_breaks_mqtt_3_connections_is_found_out(
    make_broker: MakeBroker,
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """MQTT 3.1.1 has no way to say "too large" but hanging up."""
    broker = make_broker("max_packet_size 5000").start()
    publisher = publish(broker.config(protocol="3.1.1"))
    bodies = [b"1", b"2", b"x" * 6000, b"3", b"4"]
    outbox.put([message("snapshot", body) for body in bodies])
    eventually(lambda: publisher.health().delivered.get("snapshot") == 4, "the small ones")
    assert publisher.health().refused == {"snapshot": 1}
    assert "closes the connection on it" in caplog.text


def puback(packet: bytes, code: int) -> bytes:
    return b"\x40\x03" + packet + bytes([code])


def test_quota_exceeded_keeps_the_message_and_tries_again(
    scripted: Callable[..., ScriptedBroker],
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
) -> None:
    codes = {2: 0x97, 3: 0x97}  # the first packet is the status
    broker = scripted(lambda number, packet: puback(packet, codes.get(number, 0)))
    publisher = publish(broker.config, timings=PublisherTimings(hold_s=0.1))
    outbox.put([message("alert", 1)])
    eventually(lambda: publisher.health().delivered == {"alert": 1}, "the third try")
    publisher.stop(1)
    assert broker.topics.count(b"edge/box/yard/alert") == 3
    assert outbox.counts().dropped["alert"] == 0


@pytest.mark.parametrize("code", [0x90, 0x99])
def test_what_can_never_be_welcome_is_dropped_and_counted(
    scripted: Callable[..., ScriptedBroker],
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
    code: int,
) -> None:
    broker = scripted(
        lambda number, packet: puback(packet, code if number == 2 else 0),
    )
    publisher = publish(broker.config)
    outbox.put([message("embedding", 1), message("embedding", 2)])
    eventually(lambda: not outbox.counts().queued["embedding"], "empty outbox")
    publisher.stop(1)
    assert publisher.health().refused == {"embedding": 1}
    assert publisher.health().delivered == {"embedding": 1}
    assert outbox.counts().dropped["embedding"] == 1


@pytest.mark.parametrize(
    ("code", "elsewhere"),
    [(0x87, True), (0x90, True), (0x99, False), (0x97, False), (0x80, False)],
)
def test_an_answer_goes_elsewhere_only_where_its_topic_is_to_blame(
    scripted: Callable[..., ScriptedBroker],
    publish: StartPublisher,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
    code: int,
    *,
    elsewhere: bool,
) -> None:
    broker = scripted(lambda number, packet: puback(packet, code if number == 2 else 0))
    publisher = publish(broker.config)
    eventually(lambda: broker.topics, "the status")
    route = AnswerRoute(Topics("edge", "box"), HomeAssistantConfig())
    for response in ("me", "last"):
        asked = Received("edge/box/search", b"", response=response)
        publisher.publish_now(route.message(asked, b"found", "edge-search/1"))
    if elsewhere:
        eventually(lambda: b"edge/box/answer" in broker.topics, "the answer on the box's topic")
    else:
        eventually(lambda: publisher.health().refused, "the refusal")
    publisher.stop(1)
    assert (b"edge/box/answer" in broker.topics) is elsewhere
    assert publisher.health().refused == ({} if elsewhere else {"answer": 1})
    assert ("dropped a message on me" in caplog.text) is not elsewhere
    assert ("answering on edge/box/answer" in caplog.text) is elsewhere


def test_no_subscribers_is_no_refusal(
    scripted: Callable[..., ScriptedBroker],
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
) -> None:
    broker = scripted(lambda _number, packet: puback(packet, 0x10))
    publisher = publish(broker.config)
    outbox.put([message("alert", 1)])
    eventually(lambda: publisher.health().delivered == {"alert": 1}, "delivery")
    publisher.stop(1)


def test_an_alert_is_never_given_up_however_often_the_connection_breaks(
    scripted: Callable[..., ScriptedBroker],
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
) -> None:
    broker = scripted(lambda number, packet: puback(packet, 0) if number % 2 else b"\x00\x00")
    publisher = publish(broker.config, timings=PublisherTimings(rest_s=0.01))
    outbox.put([message("alert", 1)])
    eventually(lambda: broker.topics.count(b"edge/box/yard/alert") >= 6, "six tries")
    publisher.stop(1)
    assert outbox.counts().queued["alert"] == 1


def test_the_window_is_no_wider_than_the_broker_allows(
    scripted: Callable[..., ScriptedBroker],
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
) -> None:
    """Receive maximum 3, and no acknowledgement ever after the status."""
    connack = b"\x03\x21\x00\x03"
    broker = scripted(
        lambda number, packet: puback(packet, 0) if number == 1 else b"", connack=connack
    )
    outbox.put([message("alert", number) for number in range(10)])
    publisher = publish(broker.config)
    eventually(lambda: len(broker.topics) >= 4, "a full window")
    publisher.stop(1)
    # Four: the status, which was acknowledged, and three alerts. "stopped" is sent on parting.
    assert broker.topics.count(b"edge/box/yard/alert") == 3


def test_two_clients_of_one_id_are_named_as_the_reason(
    scripted: Callable[..., ScriptedBroker],
    publish: StartPublisher,
    eventually: Eventually,
) -> None:
    broker = scripted(lambda _number, _packet: b"\xe0\x02\x8e\x00")  # DISCONNECT: taken over
    publisher = publish(broker.config)
    eventually(lambda: publisher.health().error, "being thrown out")
    publisher.stop(1)
    assert "another client of the same id" in (publisher.health().error or "")


@pytest.mark.parametrize("noise", [b"\xff" * 40, b"\x40\x00", b"\x90\x03\x00\x01\x00"])
def test_a_broker_that_talks_nonsense_is_left_and_tried_again(
    scripted: Callable[..., ScriptedBroker],
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
    noise: bytes,
) -> None:
    broker = scripted(lambda number, packet: noise if number == 1 else puback(packet, 0))
    publisher = publish(broker.config)
    outbox.put([message("alert", 1)])
    eventually(lambda: publisher.health().delivered == {"alert": 1}, "delivery", 30)
    publisher.stop(1)


def test_a_broker_that_stops_acknowledging_is_left_and_tried_again(
    scripted: Callable[..., ScriptedBroker],
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
) -> None:
    broker = scripted(lambda number, packet: b"" if number == 2 else puback(packet, 0))
    publisher = publish(broker.config, timings=PublisherTimings(patience_keepalives=0.01))
    outbox.put([message("alert", 1)])
    eventually(lambda: publisher.health().delivered == {"alert": 1}, "delivery")
    publisher.stop(1)
    assert broker.topics.count(b"edge/box/yard/alert") == 2


def test_a_forbidden_subscription_is_refused(guarded: Broker) -> None:
    config = guarded.config(username="box", password=PASSWORD)
    with connect(config, "edge-listen") as connection:
        connection.subscribe(["edge/#"])  # mosquitto grants, and delivers nothing
    refusal = pytest.raises(Refused, match="refuses the connection")
    with refusal, connect(guarded.config(), "edge-listen"):
        pass


@dataclass(frozen=True, slots=True)
class CountedBackoff(Backoff):
    """A back-off that notes which failure in a row each delay is for."""

    failures: list[int] = field(default_factory=list)

    def delay_s(self, failures: int, rng: Random) -> float:
        self.failures.append(failures)
        return 0.01


@pytest.fixture
def counted() -> tuple[CountedBackoff, RetryPolicy]:
    """A back-off that notes the failures in a row, and the policy that goes by it."""
    backoff = CountedBackoff(first_s=1.0, cap_s=1.0, shortest_share=1.0)
    return backoff, RetryPolicy(unreachable=backoff, refused=backoff)


def test_a_broker_that_lets_every_connect_time_out_is_tried_ever_less_often(
    publish: StartPublisher,
    eventually: Eventually,
    counted: tuple[CountedBackoff, RetryPolicy],
) -> None:
    backoff, retry = counted
    timings = PublisherTimings(connect_s=0.2, sound_s=0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = MqttConfig(host="127.0.0.1", port=silent.getsockname()[1], protocol="5")
        publisher = publish(config, retry=retry, timings=timings)
        eventually(lambda: len(backoff.failures) >= 3, "three failures")
        publisher.stop(1)
    assert backoff.failures[:3] == [1, 2, 3]


@pytest.mark.parametrize(("sound_s", "failures"), [(0.05, [1, 1, 1]), (30.0, [1, 2, 3])])
def test_only_a_connection_that_lasted_begins_the_count_anew(
    scripted: Callable[..., ScriptedBroker],
    publish: StartPublisher,
    eventually: Eventually,
    counted: tuple[CountedBackoff, RetryPolicy],
    sound_s: float,
    failures: list[int],
) -> None:
    def hold_then_break(_number: int, _packet: bytes) -> bytes:
        time.sleep(0.1)
        return b"\xff" * 40

    backoff, retry = counted
    broker = scripted(hold_then_break)
    publisher = publish(broker.config, retry=retry, timings=PublisherTimings(sound_s=sound_s))
    eventually(lambda: len(backoff.failures) >= 3, "three lost connections")
    publisher.stop(1)
    assert backoff.failures[:3] == failures
