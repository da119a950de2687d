"""What becomes of an answer that the broker refuses, by the reason."""

from dataclasses import replace

import pytest

from edge.delivery.message import Message
from edge.delivery.not_taken import Outgoing, Refusals
from edge.delivery.quarantine import Quarantine
from edge.delivery.standing import Standing

OURS = Message("edge/box/answer", b"{}", "answer", None, 1, False, "application/json")
NOT_AUTHORIZED, TOO_LARGE = 0x87, 0x95


@pytest.fixture
def standing() -> Standing:
    return Standing(Quarantine(10.0))


def asked_for_on(topic: str) -> Outgoing:
    return Outgoing(replace(OURS, topic=topic, otherwise=OURS))


def test_an_answer_that_is_too_large_is_too_large_elsewhere(standing: Standing) -> None:
    sent: list[Message] = []
    refusals = Refusals(standing, 30.0, sent.append)
    assert not refusals.answered(asked_for_on("me"), TOO_LARGE, "Packet too large", 0.0)
    assert sent == []
    assert standing.refused == {"answer": 1}


def test_ever_other_topics_fill_neither_memory_nor_log_and_every_answer_is_sent(
    standing: Standing, caplog: pytest.LogCaptureFixture
) -> None:
    sent: list[Message] = []
    refusals = Refusals(standing, 30.0, sent.append)
    for number in range(500):
        refusals.answered(asked_for_on(f"app/{number}"), NOT_AUTHORIZED, "no", number / 500)
    assert len(sent) == 500
    assert len(standing.named) == len(caplog.messages) == 100
    refusals.answered(asked_for_on("app/later"), NOT_AUTHORIZED, "no", 32.0)
    assert list(standing.named) == ["app/later"]
    assert "app/later" in caplog.messages[-1]
