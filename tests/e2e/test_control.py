"""The daemon is told over MQTT what to look for, while it looks; a real broker in between."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from edge.cli.schemas import schemas
from edge.delivery.embedding import decode_embedding
from edge.testing import TestCamera
from edge.testing.synthetic import write_clip

pytestmark = pytest.mark.broker

# Every sample is a hit; the alert runs for ever.
ALWAYS = {"threshold": -2, "on": {"for": 1, "of": 1}, "update_every": 0}
CAT = {"text": "a cat", "negatives": "something quite different"} | ALWAYS
DOG = {"text": "a dog", "negatives": "something quite different"} | ALWAYS
DESIRED = {"schema": "edge-prompts/1", "prompts": {"dog": DOG}}


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "moving.mp4"
    return write_clip(path, width=320, height=240, fps=10, seconds=3, gop=10)


@pytest.fixture
def camera(clip: Path) -> Iterator[TestCamera]:
    with TestCamera({"yard": clip}) as camera:
        yield camera


class Told:
    """A daemon, what it says over MQTT, and a way to tell it something."""

    def __init__(
        self,
        start: Callable[..., Any],
        listener: Any,
        port: int,
        tell: Callable[..., Any],
        eventually: Callable[..., Any],
    ) -> None:
        self._start, self._port, self._tell = start, port, tell
        self.listener, self.eventually = listener, eventually
        self.daemon = start()

    def restart(self) -> None:
        self.daemon = self._start()

    def say(self, topic: str, payload: Any, **words: bool) -> None:
        data = payload if isinstance(payload, (bytes, str)) else json.dumps(payload)
        self._tell(self._port, f"edge/box/{topic}", data, **words)

    def last(self, topic: str) -> Any:
        payloads = [m.payload for m in self.listener.heard if m.topic == f"edge/box/{topic}"]
        return payloads[-1] if payloads else None

    def state(self) -> dict[str, Any]:
        payload = self.last("prompts/state")
        return json.loads(payload) if payload else {"prompts": {}, "error": None}

    def expect(self, topic: str, payload: bytes, seconds: int = 15) -> None:
        self.eventually(lambda: self.last(topic) == payload, f"{topic} {payload!r}", seconds)

    def expect_rules(self, *names: str) -> None:
        self.eventually(lambda: list(self.state()["prompts"]) == list(names), f"rules {names}")

    def changes(self) -> int:
        return self.daemon.log().count("rules in force: ")


@pytest.fixture
def told(
    small_bundle: Path,
    camera: TestCamera,
    run_daemon: Callable[..., Any],
    broker: Any,
    listen: Callable[..., Any],
    tell: Callable[..., Any],
    eventually: Callable[..., Any],
) -> Callable[..., Any]:
    sections = {
        "bundle": str(small_bundle),
        "mqtt": {"host": "127.0.0.1", "port": broker.port, "keepalive": 5},
        "prompts": {"cat": CAT},
        "cameras": {"yard": {"url": camera.url("yard"), "sample": {"fps": 5}}},
        "embeddings": {"every": 0},
    }

    def make(**more: dict[str, bool]) -> Told:
        listener = listen(broker.port, "#")
        return Told(lambda: run_daemon(**sections | more), listener, broker.port, tell, eventually)

    return make


def test_rules_change_while_the_daemon_looks_and_no_sample_is_missing(
    told: Callable[..., Any], eventually: Callable[..., Any]
) -> None:
    box = told()
    box.expect("yard/cat/alerting", b"ON")
    first = box.daemon.process.pid
    box.say("prompts/set", DESIRED, retain=True)
    box.expect("yard/dog/alerting", b"ON")
    assert box.state()["source"] == "mqtt"
    for payload, schema in (
        (DESIRED, "prompts"), (box.state(), "prompts-state"), (json.loads(box.last("answer")), "answer"),
    ):  # fmt: skip
        Draft202012Validator(json.loads(schemas()[f"{schema}.json"])).validate(payload)
    box.say("prompts/set", DESIRED | {"base": "none"}, retain=True)
    box.expect("yard/cat/alerting", b"")  # the broker forgets it
    box.expect_rules("dog")
    mark = len(box.listener.payloads("/embedding"))
    eventually(lambda: len(box.listener.payloads("/embedding")) > mark + 5, "samples after it")
    sequences = [decode_embedding(e).sequence for e in box.listener.payloads("/embedding")]
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))
    assert box.daemon.process.pid == first
    assert box.daemon.process.poll() is None
    ends = [json.loads(p) for p in box.listener.payloads("/alert")]
    assert [(a["prompt"]["id"], a["type"]) for a in ends] == [
        ("cat", "start"), ("dog", "start"), ("cat", "end"),
    ]  # fmt: skip


def test_what_cannot_be_is_refused_told_and_changes_nothing(told: Callable[..., Any]) -> None:
    box = told()
    box.expect_rules("cat")
    before = box.state()["hash"]
    box.say("prompts/set", DESIRED | {"prompts": {"dog": {"txt": "a dog"}}}, retain=True)
    box.eventually(lambda: box.state()["error"], "an error")
    assert "prompts.dog: unknown key 'txt'; did you mean 'text'?" in box.state()["error"]
    assert (list(box.state()["prompts"]), box.state()["hash"]) == (["cat"], before)
    box.say("prompts/set", b"\xff\x00[[[")
    box.eventually(
        lambda: "expected a JSON object" in (box.state()["error"] or ""), "the next error"
    )
    box.say("prompts/set", DESIRED, retain=True)
    box.expect_rules("cat", "dog")
    assert box.state()["error"] is None


def test_a_restart_keeps_what_was_told_and_hearing_it_again_is_nothing(
    told: Callable[..., Any],
) -> None:
    box = told()
    box.expect_rules("cat")
    box.say("prompts/set", DESIRED, retain=True)
    box.expect_rules("cat", "dog")
    box.say("prompt/dog/false_alarms_per_day/set", "3")
    box.expect("prompt/dog/false_alarms_per_day/state", b"3")
    assert box.changes() == 2
    before = box.state()["hash"]
    assert box.daemon.terminate() == 0
    box.listener.heard.clear()
    box.restart()
    box.expect_rules("cat", "dog")
    box.eventually(lambda: box.last("answer"), "an answer to what the broker kept")
    assert json.loads(box.last("answer"))["error"] is None
    assert box.state()["hash"] == before
    assert box.last("prompt/dog/false_alarms_per_day/state") == b"3"
    assert box.changes() == 0


@pytest.mark.parametrize("wait", ["not at all", "until it is taken"])
def test_killed_between_receipt_and_effect_the_next_start_has_it(
    told: Callable[..., Any], wait: str
) -> None:
    box = told()
    box.expect_rules("cat")
    box.say("prompts/set", DESIRED, retain=True)
    if wait != "not at all":
        pending = box.daemon.config.parent / "state" / "desired.json"
        box.eventually(pending.exists, "something pending")
    box.daemon.kill()
    box.listener.heard.clear()
    box.restart()
    box.expect_rules("cat", "dog")


def test_a_rule_is_switched_off_and_on_and_tried(told: Callable[..., Any]) -> None:
    box = told()
    box.expect("yard/cat/alerting", b"ON")
    box.say("prompt/cat/enabled/set", "OFF")
    box.expect("prompt/cat/enabled/state", b"OFF")
    box.eventually(lambda: b'"end"' in (box.last("yard/alert") or b""), "the end of its alert")
    box.expect("yard/cat/alerting", b"OFF")
    box.say("prompt/cat/threshold/set", "2")
    box.say("prompt/cat/enabled/set", "ON")
    box.expect("prompt/cat/enabled/state", b"ON")
    box.say("prompt/cat/test/set", "")
    box.expect("yard/cat/alerting", b"ON")
    box.expect("yard/cat/alerting", b"OFF")
    tests = [a for a in map(json.loads, box.listener.payloads("/alert")) if a["test"]]
    assert [a["type"] for a in tests] == ["start", "end"]
    assert len({a["id"] for a in tests}) == 1


def test_home_assistant_is_shown_the_box_again_and_again_until_it_is_not_wanted(
    told: Callable[..., Any],
) -> None:
    topic = "homeassistant/device/edge_box/config"
    box = told(homeassistant={"discovery": True})

    def devices() -> list[dict[str, Any]]:
        return [json.loads(m.payload) for m in box.listener.heard if m.topic == topic and m.payload]

    box.eventually(devices, "the device")
    assert devices()[-1]["cmps"]["yard/cat/alerting"]["p"] == "binary_sensor"
    box.eventually(lambda: (box.last("yard/cat/snapshot") or b"").startswith(b"\xff\xd8"), "a JPEG")
    box.eventually(lambda: box.last("prompts/state"), "a connection that listens")
    count = len(devices())
    box._tell(box._port, "homeassistant/status", "online")
    box.eventually(lambda: len(devices()) > count, "the device again")
    box.say("prompts/set", DESIRED | {"base": "none"})
    box.eventually(lambda: devices()[-1]["cmps"].get("yard/dog/alerting"), "the new rule")
    assert devices()[-1]["cmps"]["yard/cat/alerting"] == {"p": "binary_sensor"}
