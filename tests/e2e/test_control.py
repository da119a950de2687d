"""The daemon is told over MQTT what to look for, while it looks; a real broker in between."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from live_broker import Tell
from running_box import Box

from edge.cli.schemas import schemas
from edge.delivery.embedding import decode_embedding

pytestmark = pytest.mark.broker

# Every sample is a hit; the alert runs for ever.
ALWAYS = {"threshold": -2, "on": {"for": 1, "of": 1}, "update_every": 0}
CAT = {"text": "a cat", "negatives": "something quite different"} | ALWAYS
DOG = {"text": "a dog", "negatives": "something quite different"} | ALWAYS
DESIRED = {"schema": "edge-prompts/1", "prompts": {"dog": DOG}}


Watch = Callable[..., Box]


@pytest.fixture
def watch(box: Box) -> Watch:
    """Start a daemon that looks for a cat, again with what it was told before."""

    def start(**more: Any) -> Box:
        box.start(
            prompts={"cat": CAT},
            cameras={"yard": box.watched(sample={"fps": 5})},
            embeddings={"every": 0},
            **more,
        )
        return box

    return start


def rules(box: Box) -> dict[str, Any]:
    """What the box says of its rules."""
    return box.state("prompts/state") or {"prompts": {}, "error": None}


def expect(box: Box, topic: str, payload: bytes) -> None:
    box.eventually(lambda: box.last(topic) == payload, f"{topic} {payload!r}")


def expect_rules(box: Box, *names: str) -> None:
    box.eventually(lambda: list(rules(box)["prompts"]) == list(names), f"rules {names}")


def changes(box: Box) -> int:
    return box.daemon.log().count("rules in force: ")


def test_rules_change_while_the_daemon_looks_and_no_sample_is_missing(watch: Watch) -> None:
    box = watch()
    expect(box, "yard/cat/alerting", b"ON")
    first = box.daemon.process.pid
    box.say("prompts/set", DESIRED, retain=True)
    expect(box, "yard/dog/alerting", b"ON")
    assert rules(box)["source"] == "mqtt"
    for payload, schema in (
        (DESIRED, "prompts"), (rules(box), "prompts-state"), (box.state("answer"), "answer"),
    ):  # fmt: skip
        Draft202012Validator(json.loads(schemas()[f"{schema}.json"])).validate(payload)
    box.say("prompts/set", DESIRED | {"base": "none"}, retain=True)
    expect(box, "yard/cat/alerting", b"")  # the broker forgets it
    expect_rules(box, "dog")
    mark = len(box.listener.payloads("/embedding"))
    box.eventually(lambda: len(box.listener.payloads("/embedding")) > mark + 5, "samples after it")
    sequences = [decode_embedding(e).sequence for e in box.listener.payloads("/embedding")]
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))
    assert box.daemon.process.pid == first
    assert box.daemon.process.poll() is None
    ends = [json.loads(p) for p in box.listener.payloads("/alert")]
    assert [(a["prompt"]["id"], a["type"]) for a in ends] == [
        ("cat", "start"), ("dog", "start"), ("cat", "end"),
    ]  # fmt: skip


def test_what_cannot_be_is_refused_told_and_changes_nothing(watch: Watch) -> None:
    box = watch()
    expect_rules(box, "cat")
    before = rules(box)["hash"]
    box.say("prompts/set", DESIRED | {"prompts": {"dog": {"txt": "a dog"}}}, retain=True)
    box.eventually(lambda: rules(box)["error"], "an error")
    assert "prompts.dog: unknown key 'txt'; did you mean 'text'?" in rules(box)["error"]
    assert (list(rules(box)["prompts"]), rules(box)["hash"]) == (["cat"], before)
    box.say("prompts/set", b"\xff\x00[[[")
    box.eventually(
        lambda: "expected a JSON object" in (rules(box)["error"] or ""), "the next error"
    )
    box.say("prompts/set", DESIRED, retain=True)
    expect_rules(box, "cat", "dog")
    assert rules(box)["error"] is None


def test_a_restart_keeps_what_was_told_and_hearing_it_again_is_nothing(
    watch: Watch,
) -> None:
    box = watch()
    expect_rules(box, "cat")
    box.say("prompts/set", DESIRED, retain=True)
    expect_rules(box, "cat", "dog")
    box.say("prompt/dog/false_alarms_per_day/set", "3")
    expect(box, "prompt/dog/false_alarms_per_day/state", b"3")
    assert changes(box) == 2
    before = rules(box)["hash"]
    assert box.daemon.terminate() == 0
    box.listener.heard.clear()
    watch()
    expect_rules(box, "cat", "dog")
    box.eventually(lambda: box.last("answer"), "an answer to what the broker kept")
    assert box.state("answer")["error"] is None
    assert rules(box)["hash"] == before
    assert box.last("prompt/dog/false_alarms_per_day/state") == b"3"
    assert changes(box) == 0


@pytest.mark.parametrize("wait", ["not at all", "until it is taken"])
def test_killed_between_receipt_and_effect_the_next_start_has_it(watch: Watch, wait: str) -> None:
    box = watch()
    expect_rules(box, "cat")
    box.say("prompts/set", DESIRED, retain=True)
    if wait != "not at all":
        box.eventually((box.state_dir / "desired.json").exists, "something pending")
    box.daemon.kill()
    box.listener.heard.clear()
    watch()
    expect_rules(box, "cat", "dog")


def test_a_rule_is_switched_off_and_on_and_tried(watch: Watch) -> None:
    box = watch()
    expect(box, "yard/cat/alerting", b"ON")
    box.say("prompt/cat/enabled/set", "OFF")
    expect(box, "prompt/cat/enabled/state", b"OFF")
    box.eventually(lambda: b'"end"' in (box.last("yard/alert") or b""), "the end of its alert")
    expect(box, "yard/cat/alerting", b"OFF")
    box.say("prompt/cat/threshold/set", "2")
    box.say("prompt/cat/enabled/set", "ON")
    expect(box, "prompt/cat/enabled/state", b"ON")
    box.say("prompt/cat/test/set", "")
    expect(box, "yard/cat/alerting", b"ON")
    expect(box, "yard/cat/alerting", b"OFF")
    tests = [a for a in map(json.loads, box.listener.payloads("/alert")) if a["test"]]
    assert [a["type"] for a in tests] == ["start", "end"]
    assert len({a["id"] for a in tests}) == 1


def test_home_assistant_is_shown_the_box_again_and_again_until_it_is_not_wanted(
    watch: Watch, tell: Tell
) -> None:
    topic = "homeassistant/device/edge_box/config"
    box = watch(homeassistant={"discovery": True})

    def devices() -> list[dict[str, Any]]:
        return [json.loads(m.payload) for m in box.listener.heard if m.topic == topic and m.payload]

    box.eventually(devices, "the device")
    assert devices()[-1]["cmps"]["yard/cat/alerting"]["p"] == "binary_sensor"
    box.eventually(lambda: (box.last("yard/cat/snapshot") or b"").startswith(b"\xff\xd8"), "a JPEG")
    box.eventually(lambda: box.last("prompts/state"), "a connection that listens")
    count = len(devices())
    tell(box.broker.port, "homeassistant/status", "online")
    box.eventually(lambda: len(devices()) > count, "the device again")
    box.say("prompts/set", DESIRED | {"base": "none"})
    box.eventually(lambda: devices()[-1]["cmps"].get("yard/dog/alerting"), "the new rule")
    assert devices()[-1]["cmps"]["yard/cat/alerting"] == {"p": "binary_sensor"}
