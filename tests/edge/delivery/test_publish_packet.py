"""What arrives over MQTT is read whole, in linear time, and no sender's text costs a connection."""

import struct
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from live_broker import Broker, Tell, properties_of
from paho.mqtt.packettypes import PacketTypes
from patience import Eventually
from publishing import StartPublisher

from edge.delivery.inbox import Inbox
from edge.delivery.message import Received
from edge.delivery.mqtt.publish_packet import read_publish

TOPIC = "edge/box/profile/set"
QOS_1, RETAINED = 0x32, 0x01


def packed(payload: bytes, properties: bytes = b"\x00", header: int = QOS_1) -> bytes:
    number = b"\x00\x07" if header & 0x06 else b""
    return struct.pack("!H", len(TOPIC)) + TOPIC.encode() + number + properties + payload


# MQTT forbids these characters, and so does the client library that packs the properties here.
texts = st.text(st.characters(exclude_characters="\0\ufeff", codec="utf-8"), max_size=20)


@given(payload=st.binary(max_size=50), words=texts, mark=st.binary(max_size=50), pair=texts)
def test_what_is_read_is_what_was_packed(
    payload: bytes, words: str, mark: bytes, pair: str
) -> None:
    properties: Any = properties_of(PacketTypes.PUBLISH)
    properties.UserProperty = (pair, words)
    properties.SubscriptionIdentifier = 300
    properties.MessageExpiryInterval = 5
    properties.PayloadFormatIndicator = 1
    properties.TopicAlias = 3
    properties.ContentType = words
    properties.ResponseTopic = words
    properties.CorrelationData = mark
    packet = packed(payload, properties.pack(), QOS_1 | RETAINED)
    expected = Received(TOPIC, payload, True, words, words, mark)
    assert read_publish(QOS_1 | RETAINED, packet, mqtt5=True) == (7, expected)


def test_without_properties_and_number() -> None:
    assert read_publish(0x30, packed(b"x", b"", 0), mqtt5=False) == (None, Received(TOPIC, b"x"))
    assert read_publish(0x30, packed(b"x", header=0), mqtt5=True) == (None, Received(TOPIC, b"x"))


def test_text_that_is_no_utf_8_is_no_text_and_such_a_topic_none_of_ours() -> None:
    properties = b"\x06\x08\x00\x03a\xffb"
    assert read_publish(QOS_1, packed(b"", properties), mqtt5=True) == (7, Received(TOPIC, b""))
    assert read_publish(QOS_1, b"\x00\x01\xff\x00\x07\x00", mqtt5=True) == (7, None)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x00\x05edge",
        packed(b"", b""),
        packed(b"", b"\x05\x08\x00"),
        packed(b"", b"\x03\x08\x00\x05x"),
        packed(b"", b"\x02\x26\x00"),
        packed(b"", b"\x01\x7e"),
        packed(b"", b"\xff\xff\xff\xff\x01"),
    ],
)
def test_a_packet_that_breaks_off_is_refused(packet: bytes) -> None:
    with pytest.raises(ValueError, match=r"breaks off|property|length"):
        read_publish(QOS_1, packet, mqtt5=True)


def test_many_properties_take_no_time() -> None:
    """250 KB of user properties without text took 19 s."""
    count = 50_000
    size = 5 * count
    length = bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14])
    packet = packed(b"x", length + b"\x26\x00\x00\x00\x00" * count)
    began = time.monotonic()
    assert read_publish(QOS_1, packet, mqtt5=True) == (7, Received(TOPIC, b"x"))
    assert time.monotonic() - began < 3


@pytest.mark.broker
def test_no_text_of_a_sender_ends_the_connection(
    broker: Broker, publish: StartPublisher, tell: Tell, eventually: Eventually
) -> None:
    heard: list[Received] = []
    publisher = publish(broker.config(), inbox=Inbox(["edge/box/+/set"], heard.append))
    eventually(lambda: "edge/box/+/set" in broker.log(), "the subscription")
    odd = "\N{ZERO WIDTH NO-BREAK SPACE}me/here"
    tell(broker.port, TOPIC, "one", ResponseTopic=odd)
    tell(broker.port, TOPIC, "two", UserProperty=("\N{ZERO WIDTH NO-BREAK SPACE}", "x"))
    tell(broker.port, TOPIC, "three", CorrelationData=b"\xff" * 60_000)
    eventually(lambda: len(heard) == 3, "all of them")
    assert [received.payload for received in heard] == [b"one", b"two", b"three"]
    assert heard[0].response == odd
    assert publisher.connected
    assert broker.log().count("as edge-box") == 1
