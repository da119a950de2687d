"""The box as Home Assistant sees it: against the keys of Home Assistant's own schemas."""

import json
from pathlib import Path
from typing import Any

import pytest
from control_box import ControlBox
from present import present
from prompts import prompt

from edge.config.models import Config, HomeAssistantConfig
from edge.config.prompt import PromptConfig
from edge.control.announce.homeassistant import components_of, discovery_message, discovery_topic
from edge.control.mailbox import listeners
from edge.delivery.message import Message, Received
from edge.delivery.topics import Topics

GOLDEN = json.loads(
    (Path(__file__).parents[3] / "golden" / "homeassistant.json").read_text("utf-8")
)
TOPICS = Topics("edge", "nvr.01")
HOME = HomeAssistantConfig(discovery=True)
PROMPTS = {
    "van": prompt(text="a van"),
    "in.truder": PromptConfig(text=("a person", "someone"), threshold=0.1),
}
CAMERAS = {"yard": ["van", "in.truder"], "gate": ["van"]}


def long_keys(values: dict[str, Any], table: dict[str, str]) -> dict[str, Any]:
    return {table.get(key, key): value for key, value in values.items()}


def described(message: Message) -> dict[str, Any]:
    """The payload as Home Assistant reads it: abbreviations and ``~`` written out."""
    payload = long_keys(json.loads(message.payload), GOLDEN["abbreviations"])
    components = {}
    for key, short in payload["components"].items():
        values = long_keys(short, GOLDEN["abbreviations"])
        base = values.pop("~", "")
        components[key] = {
            name: base + value[1:] if name.endswith("topic") and value.startswith("~") else value
            for name, value in values.items()
        }
    return payload | {"components": components}


def problems(component: dict[str, Any]) -> set[str]:
    """What Home Assistant would refuse or silently leave out."""
    platform = GOLDEN["platforms"][component["platform"]]
    keys = component.keys() - {"platform"}
    return (keys - set(platform["takes"])) | (set(platform["needs"]) - keys)


@pytest.fixture
def device() -> dict[str, Any]:
    return described(discovery_message(HOME, TOPICS, components_of(PROMPTS, CAMERAS), {}))


def test_every_key_is_one_of_home_assistants(device: dict[str, Any]) -> None:
    assert set(GOLDEN["device"]["needs"]) <= device.keys() <= set(GOLDEN["device"]["takes"])
    assert device["device"].keys() <= GOLDEN["device_abbreviations"].keys()
    assert device["origin"].keys() <= GOLDEN["origin_abbreviations"].keys()
    assert {key: problems(c) for key, c in device["components"].items() if problems(c)} == {}
    wrong = {"platform": "switch", "state_topic": "x", "colour": "red"}
    assert problems(wrong) == {"colour", "command_topic"}


def test_a_rule_is_set_once_and_alerts_on_each_of_its_cameras(device: dict[str, Any]) -> None:
    found = device["components"]
    platforms = {key: component["platform"] for key, component in found.items()}
    assert {k: p for k, p in platforms.items() if k.startswith("prompt/van")} == {
        "prompt/van/enabled": "switch",
        "prompt/van/false_alarms_per_day": "number",
        "prompt/van/text": "text",
        "prompt/van/test": "button",
    }
    assert [key for key in platforms if key.endswith("/alerting")] == [
        "yard/van/alerting", "yard/in.truder/alerting", "gate/van/alerting",
    ]  # fmt: skip
    assert found["gate/van/snapshot"]["image_topic"] == TOPICS.latest_snapshot("gate", "van")
    assert found["gate/van/alerting"]["state_topic"] == TOPICS.alerting("gate", "van")
    switch = found["prompt/van/enabled"]
    assert switch["command_topic"] == TOPICS.command("prompt", "van", "enabled")
    assert switch["state_topic"] == TOPICS.in_force("prompt", "van", "enabled")


def test_the_profile_can_be_chosen_where_rules_depend_on_it(device: dict[str, Any]) -> None:
    assert "profile" not in device["components"]
    away = PROMPTS | {"dog": prompt(text="a dog", profiles=("away", "night"))}
    found = described(discovery_message(HOME, TOPICS, components_of(away, CAMERAS), {}))
    select = found["components"]["profile"]
    assert select["options"] == ["away", "night"]
    assert not problems(select)


def test_the_number_goes_as_far_as_the_configuration(device: dict[str, Any]) -> None:
    number = device["components"]["prompt/van/false_alarms_per_day"]
    limits = PromptConfig.model_json_schema()["properties"]["false_alarms_per_day"]
    assert number["max"] == limits["maximum"]


def test_identities_are_unique_over_boxes_and_prefixes(device: dict[str, Any]) -> None:
    other = described(
        discovery_message(HOME, Topics("edge2", "nvr.01"), components_of(PROMPTS, CAMERAS), {})
    )
    ids = [c["unique_id"] for d in (device, other) for c in d["components"].values()]
    assert len(set(ids)) == len(ids)


def test_the_topic_has_only_characters_that_home_assistant_takes() -> None:
    assert discovery_topic(HOME, TOPICS) == "homeassistant/device/edge_nvr_01/config"


def test_the_box_is_there_while_it_is_degraded(device: dict[str, Any]) -> None:
    (availability,) = device["availability"]
    short = long_keys(availability, GOLDEN["abbreviations"])
    assert short["topic"] == TOPICS.status()
    assert "('online', 'degraded')" in short["value_template"]


def test_what_is_gone_is_described_by_its_platform_alone() -> None:
    gone = {"prompt/old/enabled": "switch", "prompt/van/enabled": "switch"}
    device = described(discovery_message(HOME, TOPICS, components_of(PROMPTS, CAMERAS), gone))
    assert device["components"]["prompt/old/enabled"] == {"platform": "switch"}
    assert "command_topic" in device["components"]["prompt/van/enabled"]


def test_a_sentence_that_is_no_state_of_home_assistants_is_left_out() -> None:
    long = {"long": PromptConfig(text=("a person with a red jacket",) * 10)}
    assert "prompt/long/text" not in components_of(long, {})


@pytest.fixture
def home_box(box: ControlBox, settings: dict[str, Any]) -> ControlBox:
    box.config = Config.model_validate(settings | {"homeassistant": {"discovery": True}})
    return box.start()


def test_nothing_is_published_for_home_assistant_unless_asked_for(box: ControlBox) -> None:
    box.start()
    assert not [m for m in box.published if not m.topic.startswith("edge/")]
    filters, _ = listeners(Topics("edge", "box"), box.config.homeassistant, box.mailbox, None)
    assert filters == [f for f in filters if f.startswith("edge/")]


def discovered(box: ControlBox) -> Message | None:
    messages = [m for m in box.published if m.topic == "homeassistant/device/edge_box/config"]
    return messages[-1] if messages else None


def test_the_device_is_described_again_when_home_assistant_starts(home_box: ControlBox) -> None:
    filters, _ = listeners(
        Topics("edge", "box"), home_box.config.homeassistant, home_box.mailbox, None
    )
    assert "homeassistant/status" in filters
    before = discovered(home_box)
    home_box.published.clear()
    home_box.mailbox.receive(received(b"offline"))
    home_box.mailbox.receive(received(b"online"))
    home_box.say("prompt/van/enabled/set", b"ON")  # handled after it
    assert present(discovered(home_box)).payload == present(before).payload
    assert len([m for m in home_box.published if m.kind == "state"]) == 1


def received(word: bytes) -> Received:
    return Received("homeassistant/status", word)


def test_a_rule_that_goes_is_taken_back_at_the_broker_and_in_home_assistant(
    home_box: ControlBox,
) -> None:
    dog = {"schema": "edge-prompts/1", "prompts": {"dog": {"text": "a dog"}}}
    home_box.say("prompts/set", dog)
    assert "yard/dog/alerting" in described(present(discovered(home_box)))["components"]
    home_box.say("prompts/set", b"")
    components = described(present(discovered(home_box)))["components"]
    assert components["yard/dog/alerting"] == {"platform": "binary_sensor"}
    for topic in ("yard/dog/alerting", "yard/dog/snapshot", "prompt/dog/text/state"):
        assert home_box.last(topic) == b""
    assert home_box.last("yard/cat/alerting") is None  # that one is the loop's to tell


def test_a_rule_that_is_switched_off_stays_in_home_assistant(home_box: ControlBox) -> None:
    before = described(present(discovered(home_box)))["components"]
    home_box.say("prompt/cat/enabled/set", b"OFF")
    assert described(present(discovered(home_box)))["components"] == before
    assert home_box.last("yard/cat/alerting") is None  # not taken back


def test_a_rule_that_went_while_the_box_was_off_is_taken_back_at_the_start(
    home_box: ControlBox, settings: dict[str, Any]
) -> None:
    settings["prompts"].pop("van")
    home_box.config = Config.model_validate(settings | {"homeassistant": {"discovery": True}})
    home_box.start()
    assert home_box.last("prompt/van/enabled/state") == b""
    components = described(present(discovered(home_box)))["components"]
    assert components["prompt/van/enabled"] == {"platform": "switch"}


def test_switched_off_the_device_is_removed(home_box: ControlBox, settings: dict[str, Any]) -> None:
    home_box.config = Config.model_validate(settings)
    home_box.start()
    assert present(discovered(home_box)).payload == b""
    assert home_box.last("yard/cat/snapshot") == b""
    home_box.start()
    assert present(discovered(home_box)).payload == b"", "the broker has not acknowledged it"
    for message in home_box.published:
        if not message.payload:
            present(home_box.rollout).removed(message.topic)
    home_box.start()
    assert discovered(home_box) is None  # once is enough
