"""What waits in memory for a connection: what is replaced, sent again, and lost."""

import pytest
from publishing import MakeMessage

from edge.delivery.message import Kind, Message
from edge.delivery.unsent import Unsent


def retained(topic: str, body: bytes, kind: Kind = "state") -> Message:
    return Message(topic, body, kind, None, 0, True, "text/plain")


def picture(topic: str, size: int) -> Message:
    return Message(topic, b"x" * size, "state", None, 1, True, "image/jpeg")


@pytest.fixture
def unsent() -> Unsent:
    return Unsent(most=3, most_bytes=1000)


def taken(unsent: Unsent) -> list[bytes]:
    return [message.payload for message in unsent.take_all()]


def test_the_latest_retained_message_of_a_topic_is_sent(unsent: Unsent) -> None:
    for topic, body in (("a", b"1"), ("b", b"2"), ("a", b"3")):
        unsent.put(retained(topic, body))
    assert taken(unsent) == [b"2", b"3"]
    assert taken(unsent) == []
    assert unsent.empty


def test_what_is_retained_is_sent_again_after_the_alerts_and_before_the_rest(
    unsent: Unsent, message: MakeMessage
) -> None:
    """``alerting`` must not say ON before the alert is there."""
    unsent.put(retained("a", b"1"))
    assert taken(unsent) == [b"1"]
    unsent.put(message("snapshot", 8))
    unsent.put(message("alert", 7))
    unsent.send_retained_again()
    assert taken(unsent) == [b"7", b"1", b"8"]


def test_the_status_is_taken_by_itself_once(unsent: Unsent) -> None:
    unsent.put(retained("a", b"1"))
    assert unsent.take_status() is None
    status = retained("status", b"online", "status")
    unsent.put(status)
    assert unsent.take_status() is status
    assert unsent.take_status() is None
    unsent.send_retained_again()
    assert unsent.take_status() is status
    assert taken(unsent) == [b"1"]


def test_any_number_of_topics_is_kept(unsent: Unsent) -> None:
    for number in range(3000):
        unsent.put(retained(f"topic/{number}", b"x"))
    assert len(taken(unsent)) == 3000
    unsent.send_retained_again()
    assert len(taken(unsent)) == 3000
    assert unsent.forgotten == {}


def test_the_newest_stay_and_the_loss_is_counted_by_kind(
    unsent: Unsent, message: MakeMessage
) -> None:
    unsent.put(retained("a", b"kept"))
    unsent.put(message("snapshot", 0))
    for number in range(1, 5):
        unsent.put(message("alert", number))
    assert unsent.forgotten == {"snapshot": 1, "alert": 1}
    assert taken(unsent) == [b"2", b"3", b"4", b"kept"]


def test_an_alert_outlasts_what_came_after_it(unsent: Unsent, message: MakeMessage) -> None:
    unsent.put(message("alert", 1))
    for number in range(2, 9):
        unsent.put(message("snapshot", number))
    assert taken(unsent) == [b"1", b"7", b"8"]
    assert unsent.forgotten == {"snapshot": 5}


def test_the_bound_is_one_of_bytes_too(unsent: Unsent, message: MakeMessage) -> None:
    unsent.put(message("snapshot", b"x" * 600))
    unsent.put(message("snapshot", b"y" * 600))
    assert taken(unsent) == [b"y" * 600]
    assert unsent.forgotten == {"snapshot": 1}
    unsent.put(message("snapshot", b"z" * 600))
    assert taken(unsent) == [b"z" * 600]


def test_the_oldest_retained_pictures_are_not_sent_again(unsent: Unsent) -> None:
    unsent.put(retained("rules", b"r" * 2000))
    for topic in ("a", "b", "a", "c"):
        unsent.put(picture(topic, 400))
    assert unsent.forgotten == {"state": 1}  # b, which no connection has taken
    assert [message.topic for message in unsent.take_all()] == ["rules", "a", "c"]
    unsent.put(picture("d", 400))
    unsent.send_retained_again()
    assert [message.topic for message in unsent.take_all()] == ["rules", "c", "d"]
    assert unsent.forgotten == {"state": 1}  # a was taken


def test_an_empty_retained_message_is_kept_until_the_broker_has_it(unsent: Unsent) -> None:
    emptied = retained("gone", b"")
    unsent.put(emptied)
    unsent.put(retained("here", b"x"))
    assert taken(unsent) == [b"", b"x"]
    unsent.send_retained_again()
    for message in unsent.take_all():
        unsent.acknowledged(message)
    unsent.send_retained_again()
    assert taken(unsent) == [b"x"]


def test_what_a_lost_connection_gives_back_comes_first_and_is_the_first_to_go(
    unsent: Unsent, message: MakeMessage
) -> None:
    for number in (3, 4):
        unsent.put(message("alert", number))
    unsent.give_back([message("alert", 1), retained("a", b"sent anyway"), message("alert", 2)])
    assert unsent.forgotten == {"alert": 1}
    assert taken(unsent) == [b"2", b"3", b"4"]
