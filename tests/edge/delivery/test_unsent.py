"""What waits in memory for a connection: what is replaced, sent again, and lost."""

import pytest
from publishing import MakeMessage

from edge.delivery.message import Message
from edge.delivery.unsent import Unsent


def retained(topic: str, body: bytes) -> Message:
    return Message(topic, body, "state", None, 0, True, "text/plain")


@pytest.fixture
def unsent() -> Unsent:
    return Unsent(most=3)


def taken(unsent: Unsent) -> list[bytes]:
    return [message.payload for message in iter(unsent.take, None)]


def test_the_latest_retained_message_of_a_topic_is_sent(unsent: Unsent) -> None:
    for topic, body in (("a", b"1"), ("b", b"2"), ("a", b"3")):
        unsent.put(retained(topic, body))
    assert taken(unsent) == [b"2", b"3"]
    assert taken(unsent) == []


def test_retained_messages_are_sent_again_before_what_waits(
    unsent: Unsent, message: MakeMessage
) -> None:
    unsent.put(retained("a", b"1"))
    assert taken(unsent) == [b"1"]
    unsent.put(message("alert", 7))
    unsent.send_retained_again()
    assert taken(unsent) == [b"1", b"7"]


def test_the_newest_stay_and_the_loss_is_counted_by_kind(
    unsent: Unsent, message: MakeMessage
) -> None:
    unsent.put(retained("a", b"kept"))
    unsent.put(message("snapshot", 0))
    for number in range(1, 5):
        unsent.put(message("alert", number))
    assert unsent.forgotten == {"snapshot": 1, "alert": 1}
    assert taken(unsent) == [b"kept", b"2", b"3", b"4"]


def test_what_a_lost_connection_gives_back_comes_first_and_is_the_first_to_go(
    unsent: Unsent, message: MakeMessage
) -> None:
    for number in (3, 4):
        unsent.put(message("alert", number))
    unsent.give_back([message("alert", 1), retained("a", b"sent anyway"), message("alert", 2)])
    assert unsent.forgotten == {"alert": 1}
    assert taken(unsent) == [b"2", b"3", b"4"]
