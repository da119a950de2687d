"""Where an answer goes: to its sender, and never where it would mean or break something."""

from dataclasses import replace

import pytest

from edge.config.models import HomeAssistantConfig
from edge.control.answers import AnswerRoute
from edge.delivery.message import Received
from edge.delivery.topics import Topics

OURS = "edge/box/answer"


@pytest.fixture
def route() -> AnswerRoute:
    return AnswerRoute(Topics("edge", "box"), HomeAssistantConfig(prefix="ha", birth="ha-is/up"))


def asked(response: str | None, correlation: bytes | None = None) -> Received:
    return Received("edge/box/search", b"{}", response=response, correlation=correlation)


@pytest.mark.parametrize(
    "wanted",
    [
        "client/7/inbox", "edges/box/status", "edge", "x/edge/box/status", "/edge/box/status",
        "回答/客户", OURS, f"{OURS}/client-7", "happy", "a/" * 15 + "b", "x" * 256,
    ],
)  # fmt: skip
def test_the_answer_goes_where_it_is_wanted_with_the_askers_correlation(
    route: AnswerRoute, wanted: str
) -> None:
    message = route.message(asked(wanted, b"\x01\x02"), b"{}", "edge-answer/1")
    expected = OURS if wanted == "edge" else wanted
    assert (message.topic, message.correlation) == (expected, b"\x01\x02")
    assert (message.kind, message.qos, message.retain) == ("answer", 1, False)


@pytest.mark.parametrize(
    "wanted",
    [
        "edge/box/status", "edge/box/state", "edge/box/yard/alert", "edge/box/yard/van/alerting",
        "edge/box/yard/snapshot/01JX7ZK4Q8V5R2M9T6B3N0C1DE", "edge/box/yard/embedding",
        "edge/box/prompts/state", "edge/box/prompt/van/enabled/state", "edge/box/answers",
        "edge/box/made-up", "edge/other/status", "edge/other/prompts/set", "edge/other/answer",
        "edge/box/prompts/set", "edge/box/search",
        "ha/device/edge_box/config", "ha/switch/door/config", "ha", "ha-is/up",
    ],
)  # fmt: skip
def test_the_box_says_nothing_for_others_where_it_or_another_box_or_home_assistant_speaks(
    route: AnswerRoute, wanted: str
) -> None:
    assert route.topic(asked(wanted)) == OURS


@pytest.mark.parametrize(
    "wanted",
    [
        None, "", "#", "a/+/b", "a\0b", "a\nb", "a\x7fb", "\ud800", "a\ufffe", "$SYS/broker",
        "$share/all/x", "a/" * 250 + "b", "a/" * 16 + "b", "x" * 257, "é" * 129, "x" * 65_535,
    ],
)  # fmt: skip
def test_a_topic_that_a_broker_may_hang_up_over_is_not_used(
    route: AnswerRoute, wanted: str | None
) -> None:
    assert route.topic(asked(wanted)) == OURS


def withheld(reason: str) -> bytes:
    return f"no: {reason}".encode()


def test_where_the_broker_refuses_the_topic_the_same_answer_goes_to_ours(
    route: AnswerRoute,
) -> None:
    message = route.message(asked("me", b"1"), b"{}", "s")
    assert message.otherwise == replace(message, topic=OURS, otherwise=None)
    assert route.message(asked(None), b"{}", "s").otherwise is None
    assert route.message(asked("edge/x/set"), b"{}", "s").payload == b"{}"


@pytest.mark.parametrize(
    ("wanted", "topic", "payload", "instead"),
    [
        ("me", "me", b"seen", b"no: the broker refuses the topic that was asked for"),
        (
            f"{OURS}/me",
            f"{OURS}/me",
            b"seen",
            b"no: the broker refuses the topic that was asked for",
        ),
        (OURS, OURS, b"seen", None),
        (None, OURS, b"seen", None),
        ("edge/x/set", OURS, b"no: the topic that was asked for is not one to answer on", None),
        ("a/" * 16 + "b", OURS, b"no: the topic that was asked for is not one to answer on", None),
    ],
)
def test_what_only_its_asker_may_know_never_goes_to_another_topic_than_the_one_asked_for(
    route: AnswerRoute, wanted: str | None, topic: str, payload: bytes, instead: bytes | None
) -> None:
    message = route.message(asked(wanted, b"1"), b"seen", "s", withheld)
    assert message.topic == topic
    assert message.payload.partition(b" (")[0] == payload
    other = message.otherwise
    assert (other and other.payload) == instead
    assert other is None or (other.topic, other.correlation, other.schema) == (OURS, b"1", "s")


def test_correlation_that_would_fill_the_memory_is_not_given_back(route: AnswerRoute) -> None:
    fits, large = b"x" * 1024, b"x" * 1025
    assert route.message(asked("me", fits), b"{}", "s").correlation == fits
    assert route.message(asked("me", large), b"{}", "s").correlation is None
