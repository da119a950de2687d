"""Writes what is in force as retained messages: rules, settings, profile, alerts that run.

Where one thing is said, the payload is a plain word or number, so that a program that knows nothing
of us can show it and set it.
"""

from collections.abc import Mapping

from edge.config.prompt import PromptConfig
from edge.control.commands import BETWEEN_SENTENCES
from edge.delivery.message import Message
from edge.delivery.payloads import PROMPTS_STATE_SCHEMA, PromptsStatePayload
from edge.delivery.topics import Topics


def prompts_message(topics: Topics, state: PromptsStatePayload) -> Message:
    return Message(
        topics.in_force("prompts"), state.to_json(), "state", None, 1, True, "application/json",
        PROMPTS_STATE_SCHEMA,
    )  # fmt: skip


def setting_messages(topics: Topics, prompts: Mapping[str, PromptConfig]) -> list[Message]:
    """A message for each setting of each rule that can be set by itself."""
    return [
        _word(topics.in_force("prompt", name, feature), word)
        for name, prompt in prompts.items()
        for feature, word in settings_of(prompt).items()
    ]


def settings_of(prompt: PromptConfig) -> dict[str, str]:
    """Settings of a rule as words, by feature."""
    fixed = prompt.threshold
    return {
        "enabled": "ON" if prompt.enabled else "OFF",
        # Home Assistant's word for a number that there is not.
        "false_alarms_per_day": f"{prompt.false_alarms_per_day:g}" if fixed is None else "None",
        "threshold": "auto" if fixed is None else f"{fixed:g}",
        "sharpened": "OFF" if prompt.sharpened is None else "ON",
        "text": f" {BETWEEN_SENTENCES} ".join(prompt.text),
    }


def profile_message(topics: Topics, profile: str) -> Message:
    return _word(topics.in_force("profile"), profile)


def alerting_message(topics: Topics, camera: str, rule: str, *, on: bool) -> Message:
    return _word(topics.alerting(camera, rule), "ON" if on else "OFF")


def latest_snapshot_message(topics: Topics, camera: str, rule: str, jpeg: bytes) -> Message:
    """The picture of a rule's newest alert; the broker keeps one for each rule and camera."""
    topic = topics.latest_snapshot(camera, rule)
    return Message(topic, jpeg, "state", camera, 1, True, "image/jpeg")


def emptied(topic: str) -> Message:
    """An empty message, by which the broker forgets a topic."""
    return Message(topic, b"", "state", None, 1, True, "text/plain")


def _word(topic: str, word: str) -> Message:
    return Message(topic, word.encode(), "state", None, 1, True, "text/plain")
