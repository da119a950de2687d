"""Commands that ask for their answer where it does harm: the box, a real broker, all else goes on."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from live_broker import Broker, Listen, Tell
from patience import Eventually

from edge.testing import TestCamera

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
def test_the_box_goes_on_and_answers_only_where_it_may(
    command: str,
    sections: Callable[..., Any],
    clip: Path,
    run_daemon: Callable[..., Any],
    broker: Broker,
    listen: Listen,
    tell: Tell,
    eventually: Eventually,
    alerts_of: Callable[..., Any],
) -> None:
    listener = listen(broker.port, "#")

    def answers() -> Counter[str]:
        marks = (b'"edge-answer/1"', b'"edge-search/1"')
        return Counter(
            one.topic for one in listener.heard if any(mark in one.payload for mark in marks)
        )

    def ask(topic: str, correlation: bytes) -> None:
        words = {"ResponseTopic": topic, "CorrelationData": correlation}
        tell(broker.port, f"edge/box/{command}", b"{}", retain=False, **words)

    with TestCamera({"yard": clip}) as camera:
        daemon = run_daemon(**sections(broker.port, camera.url("yard"), index={"enabled": True}))
        eventually(lambda: "/set (QoS" in broker.log(), "a subscription to commands")
        for topic in BREAKING + DECEIVING + HARMLESS:
            ask(topic, b"7")
        ask("last", b"7" * 65_000)
        eventually(lambda: answers()["last"], "the answer to the last command")
        before = len(alerts_of(listener))
        eventually(lambda: len(alerts_of(listener)) > before + 5, "more alerts")
        assert daemon.terminate() == 0
    refused = {"edge/box/answer": len(BREAKING + DECEIVING)}
    assert answers() == refused | dict.fromkeys([*HARMLESS, "last"], 1)
    assert daemon.log().count("connected to broker") == 1
    assert listener.payloads("edge/box/status") == [b"online", b"stopped"]
