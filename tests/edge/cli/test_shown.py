"""What boxes say is printed in one line each, and cannot steer the terminal."""

import io
import json
from typing import Any

import pytest
from pydantic import ValidationError
from rich.console import Console

from edge.cli.shown import (
    alert_line,
    hours_shown,
    in_force_shown,
    json_line,
    prompts_shown,
    span,
)
from edge.delivery.payloads import AlertPayload, PromptsStatePayload, StatePayload
from edge.errors import ConfigError
from edge.system.command_line import run

HOSTILE = "\x1b[2J\x9b31m\r\n\u202e[/red]"
ALERT = {
    "schema": "edge-alert/1", "id": "01JX7ZK4Q8V5R2M9T6B3N0C1DE", "type": "start", "device": "box",
    "camera": "yard", "prompt": {"id": "cat", "text": "a cat"}, "score": 0.3, "margin": 0.1,
    "threshold": 0.05, "started_at": "2026-01-01T00:00:00Z", "at": "2026-01-01T00:00:00Z",
    "model": {"id": "m", "hash": "h", "precision": "int8"},
}  # fmt: skip
STATE = {
    "schema": "edge-prompts-state/1", "device": "box", "hash": "h" * 64, "source": "mqtt",
    "applied_at": "2026-01-01T00:00:00Z", "prompts": {"cat": {"text": ["a cat"]}},
}  # fmt: skip


def printed(*shown: Any) -> list[str]:
    out = io.StringIO()
    Console(file=out, highlight=False, width=200).print(*shown, sep="\n")
    return out.getvalue().removesuffix("\n").split("\n")


def state(**changed: Any) -> list[str]:
    payload = json.dumps({**STATE, **changed}).encode()
    return printed(*prompts_shown(PromptsStatePayload.model_validate_json(payload)))


def in_force(**changed: Any) -> list[str]:
    payload = json.dumps({**STATE, **changed}).encode()
    return printed(*in_force_shown(PromptsStatePayload.model_validate_json(payload)))


@pytest.mark.parametrize("key", ["device", "camera", "prompt"])
def test_an_alert_is_one_line_without_control_characters(key: str) -> None:
    hostile = {"id": HOSTILE, "text": HOSTILE} if key == "prompt" else HOSTILE
    payload = json.dumps({**ALERT, key: hostile}).encode()
    (line,) = printed(alert_line(AlertPayload.model_validate_json(payload)))
    assert line.isprintable()
    assert "[/red]" in line


@pytest.mark.parametrize(
    ("number", "words"),
    [(2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (21, "21st"), (113, "113th")],
)
def test_an_alert_is_shown_with_its_place_in_a_visit(number: int, words: str) -> None:
    visit = {"id": ALERT["id"], "number": number}
    (line,) = printed(alert_line(AlertPayload.model_validate({**ALERT, "visit": visit})))
    assert f"({words} of one visit)" in line
    (first,) = printed(alert_line(AlertPayload.model_validate({**ALERT, "visit": None})))
    assert "visit" not in first


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"), (3.4, "3.4 s"), (59.94, "59.9 s"), (59.96, "1 min 0 s"), (125, "2 min 5 s"),
        (3599.4, "59 min 59 s"), (3599.6, "1 h 0 min"), (4799, "1 h 20 min"), (7199, "2 h 0 min"),
    ],
)  # fmt: skip
def test_a_length_of_time_is_in_words(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_what_is_expected_by_hour_is_shown_as_bars() -> None:
    by_hour = {"working_days": [0.0] * 12 + [0.7] * 12, "weekends": [None] * 23 + [0.35]}
    learned = {"state": "learned", "threshold": 0.1, "by_hour": by_hour}
    payload = {
        "device": "box", "camera": HOSTILE, "at": "2026-01-01T00:00:00Z", "state": "streaming",
        "fps_in": 25, "fps_sampled": 2, "samples": 1, "dropped": 0, "corrupt": 0, "reconnects": 0,
        "calibration": {"cat": learned, "dog": {**learned, "by_hour": None}},
    }  # fmt: skip
    lines = printed(hours_shown([StatePayload.model_validate(payload)]))
    assert all(line.isprintable() for line in lines)
    shown = " ".join(lines)
    assert "▁" * 12 + "█" * 12 in shown
    assert "·" * 23 + "▅" in shown
    assert "8.4" in shown
    assert "dog" not in shown


def test_the_lines_of_json_are_single_and_say_the_same() -> None:
    pretty = json.dumps({**ALERT, "camera": HOSTILE + "é🐈"}, indent=2, ensure_ascii=False)
    line = json_line(pretty.replace("\\u001b", "\x7f").encode())
    assert line.isprintable()
    assert json.loads(line)["camera"] == HOSTILE.replace("\x1b", "\x7f") + "é🐈"


@pytest.mark.parametrize(
    "rule",
    [
        {"text": 5},
        {"text": None},
        {"text": [1, {"a": 2}]},
        {"threshold": []},
        {"text": HOSTILE},
        {},
    ],
)
def test_rules_of_any_kind_and_name_are_shown(rule: dict[str, Any]) -> None:
    lines = state(prompts={HOSTILE: rule}, device=HOSTILE, notes=[HOSTILE], error=HOSTILE)
    assert all(line.isprintable() for line in lines)
    assert any("[/red]" in line for line in lines)


def test_a_rule_is_shown_with_its_sentences_and_threshold() -> None:
    lines = state(prompts={"cat": {"text": ["a cat", "a tabby"], "threshold": 0.25}})
    assert "a cat | a tabby" in lines[-2] + lines[-1] + lines[-3]
    assert any("0.25" in line for line in lines)


def test_a_rule_is_shown_with_what_it_asks_for() -> None:
    asked = {"text": ["a cat"], "false_alarms_per_day": 0.5, "even": True, "start": "quiet"}
    shown = " ".join(state(prompts={"cat": asked}))
    assert "0.5 false alarms a day, evenly by hour, quiet at first" in shown
    plain = " ".join(state(prompts={"cat": {**asked, "even": False, "start": None}}))
    assert "evenly" not in plain
    assert "at first" not in plain


RULES = {
    "cat": {"text": ["a cat"], "enabled": True, "profiles": ["away", "holiday"]},
    "dog": {"text": ["a dog"], "enabled": True},
    "cow": {"text": ["a cow"], "enabled": False},
}


def test_a_rule_is_in_force_only_where_it_is_enabled_and_for_the_profile() -> None:
    cameras = {"cat": ["yard"], "dog": [], "cow": ["yard"]}
    for profile, words in [("home", ", profile home"), (None, "")]:
        assert in_force(prompts=RULES, cameras=cameras, profile=profile) == [
            f"box: 1 rule in force{words}",
            "  cat is off, it is for the profile away or holiday",
            "  dog on no camera",
            "  cow is off",
        ]
    assert in_force(prompts=RULES, cameras=cameras, profile="away")[:2] == [
        "box: 2 rules in force, profile away",
        "  cat on yard",
    ]
    table = " ".join(state(prompts={"cat": RULES["cat"]}, profile="home"))
    assert "off, it is for the profile away or holiday" in table


def test_nothing_is_said_of_what_an_earlier_version_does_not_say() -> None:
    assert in_force(prompts=RULES) == [
        "box: 2 rules in force", "  cat", "  dog", "  cow is off",
    ]  # fmt: skip


@pytest.mark.parametrize("profiles", [5, "away", {"away": 1}, [None, 3], HOSTILE])
def test_profiles_of_any_kind_are_shown(profiles: Any) -> None:
    prompts = {"cat": {"text": ["a cat"], "profiles": profiles}}
    lines = in_force(prompts=prompts, cameras={"cat": ["yard"]}, profile="home")
    assert lines[0] == "box: 0 rules in force, profile home"
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"])
def test_a_time_that_no_zone_can_tell_is_no_alert(time: str) -> None:
    AlertPayload.model_validate(ALERT)  # the negative control
    with pytest.raises(ValidationError):
        AlertPayload.model_validate({**ALERT, "at": time})


def test_an_error_that_quotes_a_peer_is_printed_without_its_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def command() -> None:
        raise ConfigError(f"box refuses it: {HOSTILE}\nsecond line")

    with pytest.raises(SystemExit):
        run("edge", command)
    lines = capsys.readouterr().err.removesuffix("\n").split("\n")
    assert all(line.isprintable() for line in lines)
    assert lines[-1] == "second line"
