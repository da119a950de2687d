"""Commands that ask for their answer where it does harm: the box, a real broker, all else goes on."""

from collections import Counter

import pytest
from running_box import Box

pytestmark = pytest.mark.broker

# Mosquitto hangs up over some of these topics, and passes each on as the topic of an answer.
BREAKING = [
    "a/" * 201 + "b", "a/" * 32_000 + "b", "/" * 300, "x" * 65_535, "\N{SNOWMAN}" * 300,
    "$share/all/x", "$SYS/broker",
]  # fmt: skip
# Where the box itself, another box or Home Assistant speaks or listens.
DECEIVING = [
    "edge/box/status", "edge/box/yard/alert", "edge/box/yard/burst/alerting", "edge/box/yard/state",
    "edge/box/prompts/state", "edge/box/prompts/set", "edge/box/search", "edge/other/status",
    "edge/other/prompts/set", "homeassistant/status", "homeassistant/device/edge_box/config",
]  # fmt: skip
HARMLESS = ["me", "//", "a//b", " "]
COMMANDS = ["prompt/nobody/test/set", "search"]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_box_goes_on_and_answers_only_where_it_may(command: str, box: Box) -> None:
    def answers() -> Counter[str]:
        marks = (b'"edge-answer/1"', b'"edge-search/1"')
        return Counter(
            one.topic for one in box.listener.heard if any(mark in one.payload for mark in marks)
        )

    def ask(topic: str, correlation: bytes) -> None:
        box.say(command, b"{}", ResponseTopic=topic, CorrelationData=correlation)

    daemon = box.start(index={"enabled": True})
    box.eventually(lambda: "/set (QoS" in box.broker.log(), "a subscription to commands")
    for topic in BREAKING + DECEIVING + HARMLESS:
        ask(topic, b"7")
    ask("last", b"7" * 65_000)
    box.eventually(lambda: answers()["last"], "the answer to the last command")
    before = len(box.alerts())
    box.eventually(lambda: len(box.alerts()) > before + 5, "more alerts")
    assert daemon.terminate() == 0
    refused = {"edge/box/answer": len(BREAKING + DECEIVING)}
    assert answers() == refused | dict.fromkeys([*HARMLESS, "last"], 1)
    assert daemon.log().count("connected to broker") == 1
    assert box.heard("status") == [b"online", b"stopped"]
