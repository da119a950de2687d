"""The desk: each request an answer, where its sender wants it."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from edge.control.mailbox import Mailbox
from edge.delivery.message import Received
from edge.delivery.topics import Topics
from edge.search.desk import WAITING, SearchDesk

TOPICS = Topics("edge", "box")


class Echo:
    def __init__(self) -> None:
        self.release = threading.Event()
        self.release.set()

    def answer(self, payload: bytes) -> bytes:
        self.release.wait(10)
        return b"answer to " + payload


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def desk(echo: Echo) -> Iterator[tuple[Mailbox, list[Any]]]:
    mailbox = Mailbox("searches", WAITING)
    sent = []
    desk = SearchDesk(TOPICS, echo, mailbox, sent.append)
    desk.start()
    yield mailbox, sent
    echo.release.set()
    desk.stop(1.0)


def asked(payload: bytes = b"q", **more: bool | bytes | str | None) -> Received:
    return Received("edge/box/search", payload, **more)


def test_the_answer_goes_where_it_is_wanted_with_the_askers_correlation(
    desk: tuple[Mailbox, list[Any]], eventually: Callable[..., Any]
) -> None:
    desk, sent = desk
    desk.receive(asked(response="client/7/inbox", correlation=b"\x01\x02"))
    eventually(lambda: sent, "an answer")
    (message,) = sent
    assert (message.topic, message.payload) == ("client/7/inbox", b"answer to q")
    assert (message.correlation, message.qos, message.retain) == (b"\x01\x02", 1, False)


@pytest.mark.parametrize("wanted", [None, "#", "edge/box/prompts/set", "edge/box/search", "a\0b"])
def test_without_a_place_that_does_no_harm_it_goes_to_our_own(
    desk: tuple[Mailbox, list[Any]], eventually: Callable[..., Any], wanted: str | None
) -> None:
    desk, sent = desk
    desk.receive(asked(response=wanted))
    eventually(lambda: sent, "an answer")
    assert sent[0].topic == "edge/box/answer"


def test_an_old_request_that_the_broker_kept_is_not_answered(
    desk: tuple[Mailbox, list[Any]], eventually: Callable[..., Any]
) -> None:
    desk, sent = desk
    desk.receive(asked(b"old", retain=True))
    desk.receive(asked(b"new"))
    eventually(lambda: sent, "an answer")
    assert [message.payload for message in sent] == [b"answer to new"]


def test_more_requests_than_can_wait_are_dropped_and_nobody_waits(
    desk: tuple[Mailbox, list[Any]],
    echo: Echo,
    eventually: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    desk, sent = desk
    echo.release.clear()
    for number in range(40):
        desk.receive(asked(b"%d" % number))
    assert "one more is dropped" in caplog.text
    echo.release.set()
    eventually(lambda: len(sent) >= 16, "those that waited are answered")
    assert len(sent) < 40
