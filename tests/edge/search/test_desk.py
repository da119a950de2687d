"""The desk: each request an answer, where its sender wants it."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from patience import Eventually

from edge.config.models import HomeAssistantConfig
from edge.control.answers import AnswerRoute
from edge.control.mailbox import Mailbox
from edge.delivery.message import Message, Received
from edge.delivery.topics import Topics
from edge.search.desk import WAITING, SearchDesk
from edge.search.request import Answerer

TOPICS = Topics("edge", "box")


class Echo(Answerer):
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
def office(echo: Echo) -> Iterator[tuple[Mailbox, list[Message]]]:
    mailbox = Mailbox("searches", WAITING)
    sent: list[Message] = []
    desk = SearchDesk(AnswerRoute(TOPICS, HomeAssistantConfig()), echo, mailbox, sent.append)
    desk.start()
    yield mailbox, sent
    echo.release.set()
    desk.stop(1.0)


def asked(payload: bytes = b"q", **more: Any) -> Received:
    return Received("edge/box/search", payload, **more)


def test_the_answer_goes_where_it_is_wanted_with_the_askers_correlation(
    office: tuple[Mailbox, list[Message]], eventually: Eventually
) -> None:
    mailbox, sent = office
    mailbox.receive(asked(response="client/7/inbox", correlation=b"\x01\x02"))
    eventually(lambda: sent, "an answer")
    (message,) = sent
    assert (message.topic, message.payload) == ("client/7/inbox", b"answer to q")
    assert (message.correlation, message.qos, message.retain) == (b"\x01\x02", 1, False)


def test_what_the_cameras_saw_never_goes_where_others_read_unless_it_was_asked_for_there(
    office: tuple[Mailbox, list[Message]], eventually: Eventually
) -> None:
    mailbox, sent = office
    for wanted in ("client/7/inbox", "edge/other/answer", "edge/box/answer", None):
        mailbox.receive(asked(response=wanted))
    eventually(lambda: len(sent) == 4, "the answers")
    private, not_allowed, ours, none = sent
    assert private.otherwise is not None
    for message in (private.otherwise, not_allowed):
        answer = json.loads(message.payload)
        assert message.topic == "edge/box/answer"
        assert "the topic that was asked for" in answer["error"]
        assert answer["moments"] == []
    assert ours.payload == none.payload == b"answer to q"


def test_an_old_request_that_the_broker_kept_is_not_answered(
    office: tuple[Mailbox, list[Message]], eventually: Eventually
) -> None:
    mailbox, sent = office
    mailbox.receive(asked(b"old", retain=True))
    mailbox.receive(asked(b"new"))
    eventually(lambda: sent, "an answer")
    assert [message.payload for message in sent] == [b"answer to new"]


def test_more_requests_than_can_wait_are_dropped_and_nobody_waits(
    office: tuple[Mailbox, list[Message]],
    echo: Echo,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    mailbox, sent = office
    echo.release.clear()
    for number in range(40):
        mailbox.receive(asked(b"%d" % number))
    assert "more are dropped" in caplog.text
    echo.release.set()
    eventually(lambda: len(sent) >= 16, "those that waited are answered")
    assert len(sent) < 40
