"""``edge prompts`` against a daemon and a real broker."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from running_box import Box
from typer.testing import CliRunner

from edge.cli.commands import prompts
from edge.cli.main import app
from edge.errors import ConfigError, PublishError

pytestmark = pytest.mark.broker

ULID = "01JX7ZK4Q8V5R2M9T6B3N0C1DE"

RULE = {"negatives": "something quite different", "threshold": 2}


@pytest.fixture
def edge(box: Box) -> Callable[..., Any]:
    """Run ``edge prompts`` with these words; what it printed. A failure is raised."""

    def run(*words: str, device: str | None = "box") -> str | None:
        options = ["--host", "127.0.0.1", "--port", str(box.broker.port)]
        options += ["--device", device] if device else []
        result = CliRunner().invoke(app, ["prompts", *options, *words])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.output

    return run


@pytest.fixture
def watching(box: Box) -> Box:
    box.start(prompts={"cat": RULE | {"text": "a cat"}})
    box.eventually(lambda: "edge/box/feedback/set (QoS 1)" in box.broker.log(), "its subscription")
    return box


def test_the_commands_do_what_they_say(
    edge: Callable[..., Any],
    watching: Box,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "prompts:\n  dog: {text: [a dog, a puppy], negatives: another thing, off_after: 5s}\n"
    )
    assert edge("set", str(rules), "--alone").splitlines()[:2] == [
        "box: 1 rule in force",
        "  dog on yard",
    ]
    state = json.loads(edge("show", "--json"))
    assert list(state["prompts"]) == ["dog"]
    assert state["prompts"]["dog"]["off_after"] == 5.0
    shown = edge("show", device=None)
    assert "set over MQTT" in shown
    assert "a dog | a puppy" in shown
    assert edge("test", "dog") == "box sends a test alert of dog on yard\n"
    watching.eventually(lambda: any(alert["test"] for alert in watching.alerts()), "an alert")
    with pytest.raises(ConfigError, match=f"box refuses it: alert {ULID} is not known"):
        edge("feedback", ULID, "bad")
    monkeypatch.setattr(prompts, "_LOOK_S", 1.0)
    watching.eventually(
        lambda: "no threshold is learned yet" in (edge("hours") or ""), "a camera's state"
    )
    assert "ignored" not in edge("hours")  # prompts/state has a topic like that of a camera
    with pytest.raises(PublishError, match="no box has published the state of a camera"):
        edge("hours", device="other")
    rules.write_text("prompts:\n  dog: {text: a dog, negatives: a thing, profiles: [floor-2]}\n")
    edge("set", str(rules))
    assert "box: 2 rules in force, profile floor-2" in edge("profile", "floor-2")
    # A profile that is nearly another one is a profile, in which the rule of the other is off.
    other = edge("profile", "floor-1").splitlines()
    assert other[:3] == [
        "box: 1 rule in force, profile floor-1",
        "  cat on yard",
        "  dog is off, it is for the profile floor-2",
    ]
    assert "note: no prompt names the profile 'floor-1'; did you mean 'floor-2'?" in other
    assert "  cat on yard" in edge("reset")
    assert "its configuration" in edge("show")


@pytest.mark.usefixtures("watching")
def test_a_refusal_is_told_in_the_box_s_words(edge: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match="box refuses it: there is no prompt 'cow'"):
        edge("test", "cow")


def test_a_mistake_in_the_file_is_told_before_anything_is_sent(
    edge: Callable[..., Any], tmp_path: Path
) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("prompts:\n  dog: {txt: a dog}\n")
    with pytest.raises(ConfigError, match="unknown key 'txt'"):
        edge("set", str(rules))
    rules.write_text("dog: [\n")
    with pytest.raises(ConfigError, match="not valid YAML"):
        edge("set", str(rules))


def test_without_a_name_of_a_box_it_says_so(edge: Any) -> None:
    with pytest.raises(ConfigError, match="give --device or --config"):
        edge("test", "cat", device=None)
