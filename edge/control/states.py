"""What is in force, as retained messages: the rules as a whole, each setting, each alert on or off.

Plain words and numbers where one thing is told, so that a program which knows nothing of us can
show it and set it.
"""

from collections.abc import Mapping

from edge.config.models import PromptConfig
from edge.control.commands import BETWEEN_SENTENCES
from edge.delivery.payloads import PROMPTS_STATE_SCHEMA, Message, PromptsStatePayload, Topics


def prompts_message(topics: Topics, state: PromptsStatePayload) -> Message:
    return Message(
        topics.in_force("prompts"), state.to_json(), "state", None, 1, True, "application/json",
        PROMPTS_STATE_SCHEMA,
    )  # fmt: skip


def setting_messages(topics: Topics, prompts: Mapping[str, PromptConfig]) -> list[Message]:
    """Each setting of each rule that can be set by itself."""
    return [
        _word(topics.in_force("prompt", name, feature), word)
        for name, prompt in prompts.items()
        for feature, word in settings_of(prompt).items()
    ]


def settings_of(prompt: PromptConfig) -> dict[str, str]:
    """The words of a rule's settings, by feature."""
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
    """The picture of the rule's newest alert: one for each rule and camera stays at the broker."""
    topic = topics.latest_snapshot(camera, rule)
    return Message(topic, jpeg, "state", camera, 1, True, "image/jpeg")


def emptied(topic: str) -> Message:
    """What makes the broker forget a topic."""
    return Message(topic, b"", "state", None, 1, True, "text/plain")


def _word(topic: str, word: str) -> Message:
    return Message(topic, word.encode(), "state", None, 1, True, "text/plain")
