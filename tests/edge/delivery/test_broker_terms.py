"""What a broker says in its CONNACK, and what it says no to: the box works within it, or says so."""

import logging
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest
from live_broker import Listen, MakeBroker
from patience import Eventually
from publishing import MakeMessage, StartPublisher
from scripted_broker import ScriptedBroker

from edge.delivery.inbox import Inbox
from edge.delivery.mqtt.dialer import Dialer, connect
from edge.delivery.mqtt.refusals import Refused
from edge.delivery.mqtt.terms import Terms, lowered, terms_of
from edge.delivery.outbox import Outbox
from edge.delivery.payloads import status_message
from edge.delivery.topics import Topics
from edge.errors import PublishError

WILL = status_message(Topics("edge", "box"), "offline")
Scripted = Callable[..., ScriptedBroker]


def connack(code: int, properties: bytes = b"") -> bytes:
    return bytes([0x20, 3 + len(properties), 0, code, len(properties)]) + properties


def puback(_number: int, packet: bytes) -> bytes:
    return b"\x40\x02" + packet


def silence(_number: int, _packet: bytes) -> bytes:
    return b""


def test_a_broker_that_names_no_limits_has_none() -> None:
    terms = terms_of(SimpleNamespace(), frozenset())
    assert terms == Terms() == terms_of(None, frozenset())
    assert terms.shortfalls == ()
    assert lowered(WILL, terms) is WILL


def test_limits_of_zero_which_mqtt_forbids_stop_nothing() -> None:
    said = SimpleNamespace(ReceiveMaximum=0, MaximumPacketSize=0)
    assert terms_of(said, frozenset()) == Terms()


def test_each_lack_is_said_by_name_and_messages_are_lowered_to_it() -> None:
    said = SimpleNamespace(
        RetainAvailable=0, MaximumQoS=0, WildcardSubscriptionAvailable=0, MaximumPacketSize=2000
    )
    terms = terms_of(said, frozenset())
    words = ("retained messages", "QoS 0 only", "wildcards", "up to 2000 bytes")
    assert len(terms.shortfalls) == len(words)
    assert all(word in text for word, text in zip(words, terms.shortfalls, strict=True))
    assert lowered(WILL, terms) == replace(WILL, retain=False, qos=0)
    assert terms_of(None, frozenset({"retain"})) == Terms(retain=False)


@pytest.mark.broker
@pytest.mark.parametrize(
    ("option", "said"),
    [("retain_available false", "keeps no retained messages"), ("max_qos 0", "QoS 0 only")],
)
def test_alerts_and_status_arrive_at_a_broker_without(
    make_broker: MakeBroker,
    listen: Listen,
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
    option: str,
    said: str,
) -> None:
    caplog.set_level(logging.WARNING)
    broker = make_broker(option).start()
    listener = listen(broker.port)
    publisher = publish(broker.config())
    outbox.put([message("alert", number) for number in range(200)])
    eventually(lambda: publisher.health().delivered.get("alert") == 200, "all alerts")
    eventually(lambda: len(listener.payloads("alert")) == 200, "all alerts at the subscriber")
    assert listener.payloads("status") == [b"online"]
    assert publisher.health().protocol == "5"
    assert publisher.health().refused == {}
    broker.kill()
    broker.start()
    eventually(lambda: broker.log().count("as edge-box") > 1, "a second connection")
    eventually(lambda: publisher.connected, "a second connection")
    assert caplog.text.count(said) == 1


@pytest.mark.parametrize(("code", "flag"), [(0x9A, 0x20), (0x9B, 0x18)])
def test_a_last_will_that_is_refused_is_lowered(scripted: Scripted, code: int, flag: int) -> None:
    """The broker says what it lacks in no other way, so messages are lowered too."""
    broker = scripted(puback, connack=lambda n, _version: connack(code if n == 1 else 0))
    with connect(broker.config, "edge-box", WILL) as connection:
        assert connection.terms == Terms(retain=code != 0x9A, max_qos=0 if code == 0x9B else 1)
    assert [bool(flags & flag) for flags in broker.flags] == [True, False]


def test_what_a_broker_ends_connections_over_is_left_out_of_the_next(scripted: Scripted) -> None:
    ends = b"\xe0\x02\x9a\x00"  # DISCONNECT: retain not supported
    broker = scripted(lambda n, packet: ends if n == 1 else puback(n, packet))
    dialer = Dialer(broker.config, "edge-box", WILL)

    def talk() -> None:
        with dialer.connect() as connection:
            connection.publish(WILL)
            connection.poll(5)

    with pytest.raises(PublishError, match="Retain not supported"):
        talk()
    with dialer.connect() as connection:
        connection.publish(WILL)
        connection.poll(5)
        assert len(connection.acknowledged()) == 1
    assert broker.retained == [True, False]


def test_subscriptions_with_wildcards_are_left_out_and_named(scripted: Scripted) -> None:
    broker = scripted(puback, connack=b"\x02\x28\x00")
    with connect(broker.config, "edge-box") as connection:
        named = r"'edge/box/prompt/\+/\+/set' \(it allows no wildcards\)$"
        with pytest.raises(Refused, match=named):
            connection.subscribe(["edge/box/prompts/set", "edge/box/prompt/+/+/set"])
    [body] = broker.filters
    assert b"edge/box/prompts/set" in body
    assert b"+" not in body


def test_a_refused_subscription_is_named_with_the_brokers_words(
    scripted: Scripted, publish: StartPublisher, eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    broker = scripted(puback, suback=b"\x87")
    heard: list[object] = []
    publish(broker.config, inbox=Inbox(["edge/box/prompts/set"], heard.append))
    eventually(lambda: "refuses the subscription" in caplog.text, "a refusal")
    assert "'edge/box/prompts/set' (Not authorized): commands over MQTT may not" in caplog.text


def test_an_answer_to_other_subscriptions_is_an_error_of_ours(scripted: Scripted) -> None:
    broker = scripted(puback)
    wrong = pytest.raises(PublishError, match="other subscriptions")
    with wrong, connect(broker.config, "edge-box") as connection:
        connection.subscribe(["a", "b"])


def test_the_brokers_own_words_are_in_the_error_as_one_line(scripted: Scripted) -> None:
    words = b"account\nclosed"
    moved = b"b.example"
    properties = (
        b"\x1f" + len(words).to_bytes(2, "big") + words + b"\x1c\x00" + bytes([len(moved)]) + moved
    )
    broker = scripted(puback, connack=lambda _n, _version: connack(0x9D, properties))
    with pytest.raises(Refused) as caught, connect(broker.config, "edge-box"):
        pass
    assert "refuses the connection: Server moved (account\N{REPLACEMENT CHARACTER}closed)" in str(
        caught.value
    )
    assert "mqtt.host: b.example" in str(caught.value)


def test_the_brokers_keep_alive_is_kept_and_a_longer_one_is_not(scripted: Scripted) -> None:
    for said, kept in ((7, 7), (0, 30), (60_000, 30)):
        broker = scripted(puback, connack=b"\x03\x13" + said.to_bytes(2, "big"))
        with connect(broker.config, "edge-box") as connection:
            assert connection.terms.keepalive_s == said
            assert connection._client.keepalive == kept


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak MQTT .*HTTP/1.1.* for websockets"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak MQTT .*SSH-2.0"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "speaks TLS: set mqtt.tls"),
    ],
)
def test_a_server_of_another_kind_is_named(scripted: Scripted, answer: bytes, said: str) -> None:
    broker = scripted(puback, connack=lambda _n, _version: answer)
    config = broker.config.model_copy(update={"protocol": "auto"})
    with pytest.raises(Refused, match=said), connect(config, "edge-box"):
        pass
    assert len(broker.flags) == 1  # no other version of MQTT would help
