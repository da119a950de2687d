"""A message becomes a command, or is refused in words; whatever it holds, nothing breaks."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub
from present import present
from prompts import prompt

from edge.control.commands import (
    MAX_BYTES,
    MAX_RULES,
    Command,
    Feature,
    Feedback,
    GiveFeedback,
    SetFeature,
    SetProfile,
    SetPrompts,
    TryRule,
    command_filters,
    command_of,
)
from edge.delivery.message import Received
from edge.delivery.topics import Topics
from edge.errors import ConfigError

TOPICS = Topics("edge", "box")
ULID = "01JX7ZK4Q8V5R2M9T6B3N0C1DE"
DESIRED = {"schema": "edge-prompts/1", "prompts": {"van": {"text": "a white van"}}}


def command(topic: str, payload: Any, *, retain: bool = False) -> Command | None:
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return command_of(TOPICS, Received(f"edge/box/{topic}", data, retain))


def refusal(topic: str, payload: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        command(topic, payload)
    return str(caught.value)


def test_desired_prompts_are_those_of_the_configuration() -> None:
    set_prompts = command("prompts/set", DESIRED)
    assert isinstance(set_prompts, SetPrompts)
    said = present(set_prompts.desired)
    assert said.prompts == {"van": prompt(text="a white van")}
    assert said.base == "file"


def test_an_empty_desired_state_means_the_file() -> None:
    assert command("prompts/set", b"") == SetPrompts(None)


@pytest.mark.parametrize(
    ("feature", "payload", "value"),
    [
        ("enabled", b"ON", True),
        ("enabled", b"OFF", False),
        ("false_alarms_per_day", b"0.5", 0.5),
        ("threshold", b"0.1", 0.1),
        ("threshold", b"auto", "auto"),
        ("text", b"a van | a lorry", ("a van", "a lorry")),
    ],
)
def test_single_settings(feature: Feature, payload: bytes, value: Any) -> None:
    assert command(f"prompt/van/{feature}/set", payload) == SetFeature("van", feature, value)


def test_other_commands() -> None:
    assert command("prompt/van/test/set", b"anything") == TryRule("van")
    assert command("profile/set", b"night") == SetProfile("night")
    said = {"schema": "edge-feedback/1", "alert": ULID, "correct": False, "later": 1}
    assert command("feedback/set", said) == GiveFeedback(
        Feedback(schema="edge-feedback/1", alert=ULID, correct=False)
    )


def test_what_the_broker_kept_counts_only_where_it_says_how_things_shall_be() -> None:
    assert command("prompts/set", DESIRED, retain=True) == command("prompts/set", DESIRED)
    assert command("profile/set", b"night", retain=True) == SetProfile("night")
    assert command("prompt/van/test/set", b"", retain=True) is None
    assert command("prompt/van/enabled/set", b"OFF", retain=True) is None


def test_mistakes_are_told_in_the_words_of_the_configuration() -> None:
    wrong = DESIRED | {"prompts": {"van": {"txt": "a van", "on": {"for": 3, "of": 2}}}}
    assert refusal("prompts/set", wrong).splitlines() == [
        "prompts.van.on: expected for <= of, found for: 3 and of: 2",
        "prompts.van: missing key 'text'",
        "prompts.van: unknown key 'txt'; did you mean 'text'?",
    ]


@pytest.mark.parametrize(
    ("topic", "payload", "words"),
    [
        ("prompts/set", b"\xff", "expected a JSON object"),
        ("prompts/set", b"[" * 100_000, "expected a JSON object"),
        ("prompts/set", b"[]", "expected a JSON object"),
        ("prompts/set", b"9" * MAX_BYTES, "expected a JSON object"),
        ("prompts/set", b" " * (MAX_BYTES + 1), f"at most {MAX_BYTES} bytes"),
        ("prompts/set", {"prompts": {}}, "missing key 'schema'"),
        ("prompts/set", DESIRED | {"schema": "edge-prompts/2"}, "schema: expected 'edge-prompts/1'"),
        ("prompts/set", DESIRED | {"base": "none", "prompts": {}}, "at least one prompt"),
        ("prompts/set", DESIRED | {"prompts": {"a/b": {"text": "x"}}}, "1 to 64 letters"),
        ("prompts/set", DESIRED | {"prompts": {"a": {"text": ["x", ""]}}}, r"prompts.a.text\[1\]: expected some"),
        ("prompts/set", DESIRED | {"prompts": {"a": {"text": "x\0"}}}, "NUL or half a character"),
        ("prompts/set", DESIRED | {"prompts": {f"r{n}": {"text": "x"} for n in range(MAX_RULES + 1)}}, "at most"),
        ("prompts/set", DESIRED | {"prompts": {"a": {"text": ["x"] * 3000}}}, "at most 2000 sentences"),
        ("prompts/set", DESIRED | {"prompts": {"a": {"text": "x", "threshold": 1e999}}}, "finite"),
        ("prompt/van/enabled/set", b"on", "expected ON or OFF, found 'on'"),
        ("prompt/van/false_alarms_per_day/set", b"few", "expected a number, found 'few'"),
        ("prompt/van/threshold/set", b"high", "expected a number or auto, found 'high'"),
        ("prompt/van/text/set", b"\xff\xfe", "UTF-8"),
        ("prompt/van/enable/set", b"ON", "unknown feature 'enable'; did you mean 'enabled'?"),
        ("feedback/set", {"schema": "edge-feedback/1", "alert": "x", "correct": True}, "id of an alert"),
        ("somewhere/else", b"", "topic of a command"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_words(topic: str, payload: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        command(topic, payload)


@pytest.mark.parametrize(
    "topic",
    [
        "edge/box2/prompts/set",
        "edge/bo/prompts/set",
        "edge2/box/prompts/set",
        "prompts/set",
        "box/prompts/set",
        "edge/box2/edge/box/prompts/set",
        "edge/box/yard/prompts/set",
        "edge/BOX/prompts/set",
    ],
)
def test_a_command_for_another_box_is_none_of_ours(topic: str) -> None:
    with pytest.raises(ConfigError, match="topic of a command"):
        command_of(TOPICS, Received(topic, json.dumps(DESIRED).encode(), False))
    assert not [one for one in command_filters(TOPICS) if topic_matches_sub(one, topic)]
    ours = "edge/box/prompts/set"
    assert [one for one in command_filters(TOPICS) if topic_matches_sub(one, ours)]


def test_nothing_that_we_subscribe_to_is_something_that_we_publish() -> None:
    """Every filter ends in ``set``, and no topic of ours does."""
    assert all(name.endswith("/set") for name in command_filters(TOPICS))
    assert not TOPICS.in_force("prompt", "van", "enabled").endswith("/set")


NOISE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
KEYS = st.sampled_from(["text", "negatives", "threshold", "on", "off_after", "enabled", "pool"])
PROMPTS = st.dictionaries(st.text(max_size=5), st.dictionaries(KEYS, NOISE) | NOISE, max_size=3)
PAYLOADS = (
    st.binary(max_size=50)
    | NOISE.map(lambda value: json.dumps(value).encode())
    | PROMPTS.map(lambda prompts: json.dumps(DESIRED | {"prompts": prompts}).encode())
)
TOPIC = st.sampled_from(
    ["prompts/set", "profile/set", "feedback/set", "prompt/van/enabled/set", "prompt/van/text/set",
     "prompt/van/threshold/set", "prompt/van/test/set"]
)  # fmt: skip


@given(TOPIC, PAYLOADS, st.booleans())
@example("prompts/set", b'{"schema":"edge-prompts/1","prompts":{"a":{"text":"\\ud800"}}}', False)
@example("prompt/van/threshold/set", b"nan", False)
@example("prompt/van/threshold/set", "٣".encode(), False)
def test_whatever_is_said_is_a_command_or_a_refusal_that_can_be_sent(
    topic: str, payload: bytes, retain: bool
) -> None:
    with contextlib.suppress(ConfigError):
        command(topic, payload, retain=retain)
    try:
        command(topic, payload, retain=retain)
    except ConfigError as exc:
        str(exc).encode()
