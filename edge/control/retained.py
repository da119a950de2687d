"""Builds the retained messages about rules, and takes those back that are no longer true.

A broker keeps a retained message for ever, and Home Assistant keeps an entity for ever. A rule may
be removed, also while the daemon is off. So the topics that were published are written to a file,
and the messages of a removed rule are deleted at the broker.

A message about one setting holds one plain word or number, so that a program which knows nothing
of this daemon can show it and set it.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from edge.config.models import PromptConfig
from edge.control.commands import BETWEEN_SENTENCES
from edge.delivery.payloads import PROMPTS_STATE_SCHEMA, Message, PromptsStatePayload, Topics

logger = logging.getLogger(__name__)

# Number of removed entities that stay in the description of the device. A Home Assistant that was
# off when an entity was removed reads there that it has to remove it.
_GONE: Final = 500


def prompts_message(topics: Topics, state: PromptsStatePayload) -> Message:
    """Message with all rules in force."""
    return Message(
        topics.in_force("prompts"), state.to_json(), "state", None, 1, True, "application/json",
        PROMPTS_STATE_SCHEMA,
    )  # fmt: skip


def setting_messages(topics: Topics, prompts: Mapping[str, PromptConfig]) -> list[Message]:
    """One message for each setting of each rule that can be set by itself."""
    return [
        _word(topics.in_force("prompt", name, feature), word)
        for name, prompt in prompts.items()
        for feature, word in settings_of(prompt).items()
    ]


def settings_of(prompt: PromptConfig) -> dict[str, str]:
    """Words that a rule's settings are published as, by feature."""
    fixed = prompt.threshold
    return {
        "enabled": "ON" if prompt.enabled else "OFF",
        # Home Assistant reads "None" as a number that is not known.
        "false_alarms_per_day": f"{prompt.false_alarms_per_day:g}" if fixed is None else "None",
        "threshold": "auto" if fixed is None else f"{fixed:g}",
        "sharpened": "OFF" if prompt.sharpened is None else "ON",
        "text": f" {BETWEEN_SENTENCES} ".join(prompt.text),
    }


def profile_message(topics: Topics, profile: str) -> Message:
    """Message with the profile in force; empty for none."""
    return _word(topics.in_force("profile"), profile)


def alerting_message(topics: Topics, camera: str, rule: str, *, on: bool) -> Message:
    """Message that says whether the alert of a rule on a camera is on."""
    return _word(topics.alerting(camera, rule), "ON" if on else "OFF")


def latest_snapshot_message(topics: Topics, camera: str, rule: str, jpeg: bytes) -> Message:
    """Message with the picture of the newest alert of a rule on a camera.

    The broker keeps one picture for each rule and camera.
    """
    topic = topics.latest_snapshot(camera, rule)
    return Message(topic, jpeg, "state", camera, 1, True, "image/jpeg")


def emptied(topic: str) -> Message:
    """Message that makes the broker forget a topic."""
    return Message(topic, b"", "state", None, 1, True, "text/plain")


def _word(topic: str, word: str) -> Message:
    return Message(topic, word.encode(), "state", None, 1, True, "text/plain")


class _Left(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    topics: frozenset[str] = frozenset()
    components: dict[str, str] = {}


class Retained:
    """Keeps the retained messages about rules at the broker up to date.

    Args:
        path: File with the topics that were published. If it cannot be read or written, messages
            about removed rules may stay at the broker.
        publish: Sends a message.

    Attributes:
        components: Home Assistant platforms of all entities, present and removed, by key.
    """

    def __init__(self, path: Path, publish: Callable[[Message], None]) -> None:
        self._path = path
        self._publish = publish
        self._payloads: dict[str, bytes] = {}
        left = self._load()
        self._topics = left.topics
        self.components = left.components

    def replace(
        self,
        messages: Sequence[Message],
        others: Iterable[str],
        components: Mapping[str, str],
    ) -> None:
        """Publish the messages that are new or changed; delete those that are not listed any more.

        Args:
            messages: All retained messages that the broker shall keep.
            others: Topics that another part publishes to. They are only deleted here.
            components: Home Assistant platforms of the present entities, by key.
        """
        topics = frozenset(message.topic for message in messages) | frozenset(others)
        gone = {key: p for key, p in self.components.items() if key not in components}
        self.components = dict(list(gone.items())[-_GONE:]) | dict(components)
        for topic in sorted(self._topics - topics):
            self._payloads.pop(topic, None)
            self._publish(emptied(topic))
        self._topics = topics
        self._save()
        for message in messages:
            if self._payloads.get(message.topic) != message.payload:
                self._payloads[message.topic] = message.payload
                self._publish(message)

    def _load(self) -> _Left:
        try:
            return _Left.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return _Left()
        except (OSError, ValidationError) as exc:
            reason = str(exc).partition("\n")[0]
            logger.warning("%s: %s; old messages may stay at the broker", self._path, reason)
            return _Left()

    def _save(self) -> None:
        left = _Left(topics=self._topics, components=self.components)
        new = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(left.model_dump_json(), "utf-8")
            new.replace(self._path)
        except OSError as exc:
            logger.warning("%s is not written: %s", self._path, exc)
