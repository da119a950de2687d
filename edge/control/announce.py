"""Announces what is in force, and which alerts are on, in retained messages.

``Announcer`` publishes rules, settings, profile and the description of the device for Home
Assistant. ``AlertBoard`` publishes for each rule on each camera whether its alert is on.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from edge.config.document import suggestion
from edge.config.models import Config, PromptConfig
from edge.control import homeassistant
from edge.control.retained import (
    Retained,
    alerting_message,
    profile_message,
    prompts_message,
    setting_messages,
)
from edge.delivery.payloads import LessonRef, Message, PromptsStatePayload, Topics, utc
from edge.rules.bank import PromptBank
from edge.rules.plan import assigned

RETAINED: Final = "retained.json"

Pair = tuple[str, str]
"""Names of a camera and of a rule."""

# Seconds that a test alert stays on: long enough for a person or program that watches the topic.
TEST_S: Final = 3.0


class Announcer:
    """Publishes retained messages about the rules, each when it changes.

    Args:
        config: Configuration of the daemon.
        publish: Sends a message.
    """

    def __init__(self, config: Config, publish: Callable[[Message], None]) -> None:
        self._config = config
        self._topics = Topics(config.mqtt.topic_prefix, config.device.id)
        self._publish = publish
        self._retained = Retained(config.state_dir / RETAINED, publish)
        self._components: dict[str, homeassistant.Component] = {}

    def announce(
        self,
        prompts: Mapping[str, PromptConfig],
        bank: PromptBank,
        *,
        profile: str,
        applied_at: float,
        lessons: Mapping[str, LessonRef],
        error: str | None,
    ) -> None:
        """Publish the messages that changed.

        Args:
            prompts: Rules in force, by name.
            bank: Prompt bank compiled from these rules.
            profile: Profile in force; empty for none.
            applied_at: Wall time in seconds since when they are in force.
            lessons: Lessons that rules were taught by feedback on their alerts, by rule.
            error: Reason why the last command was refused; None if it was not.
        """
        topics = self._topics
        # A rule that is switched off keeps its topics and entities.
        cameras = {name: assigned(camera, prompts) for name, camera in self._config.cameras.items()}
        pairs = [(camera, rule) for camera, rules in cameras.items() for rule in rules]
        state = PromptsStatePayload(
            device=self._config.device.id,
            hash=bank.hash,
            source="file" if prompts == self._config.prompts else "mqtt",
            applied_at=utc(applied_at),
            prompts={
                name: prompt.model_dump(mode="json", by_alias=True)
                for name, prompt in prompts.items()
            },
            lessons=dict(lessons),
            notes=(
                *map(str, bank.notes),
                *_unwatched(prompts, {rule for _, rule in pairs}),
                *_unnamed(prompts, profile),
            ),
            error=error,
        )
        messages = [
            prompts_message(topics, state),
            *setting_messages(topics, prompts),
            profile_message(topics, profile),
        ]
        others = [topics.alerting(*pair) for pair in pairs]
        if self._config.homeassistant.discovery:
            self._components = homeassistant.components_of(prompts, cameras)
            messages.append(self._description())
            others += [topics.latest_snapshot(*pair) for pair in pairs]
        platforms = {key: component["p"] for key, component in self._components.items()}
        self._retained.replace(messages, others, platforms)

    def describe(self) -> None:
        """Publish the description of the device again, when Home Assistant has started."""
        self._publish(self._description())

    def _description(self) -> Message:
        return homeassistant.discovery_message(
            self._config.homeassistant, self._topics, self._components, self._retained.components
        )


class AlertBoard:
    """Builds a message for each alert that went on or off. Pure; the caller gives the time.

    Args:
        topics: Topics of the device.
        test_s: Seconds that a test alert stays on.
    """

    def __init__(self, topics: Topics, test_s: float = TEST_S) -> None:
        self._topics = topics
        self._test_s = test_s
        self._published: dict[Pair, bool] = {}
        self._tests: dict[Pair, float] = {}

    def test(self, pairs: Iterable[Pair], now: float) -> None:
        """Show these alerts as on for ``test_s``, from ``now`` in monotonic seconds."""
        self._tests |= dict.fromkeys(pairs, now + self._test_s)

    def changes(self, alerting: Mapping[Pair, bool], now: float) -> list[Message]:
        """Messages of the alerts that went on or off since the last call.

        Args:
            alerting: Whether an alert runs, for each rule on each camera that it watches.
            now: Monotonic seconds.
        """
        self._tests = {pair: until for pair, until in self._tests.items() if until > now}
        shown = {pair: on or pair in self._tests for pair, on in alerting.items()}
        changed = {pair: on for pair, on in shown.items() if self._published.get(pair) != on}
        self._published = shown
        return [
            alerting_message(self._topics, camera, rule, on=on)
            for (camera, rule), on in changed.items()
        ]


def _unwatched(prompts: Mapping[str, PromptConfig], watched: set[str]) -> list[str]:
    return [
        f"prompt {name!r} is watched by no camera: each names its prompts in the configuration"
        for name, prompt in prompts.items()
        if prompt.enabled and name not in watched
    ]


def _unnamed(prompts: Mapping[str, PromptConfig], profile: str) -> list[str]:
    named = sorted({name for prompt in prompts.values() for name in prompt.profiles})
    if not profile or profile in named:
        return []
    hint = suggestion(profile, named) if named else "none names any"
    return [f"no prompt names the profile {profile!r}; {hint}"]
