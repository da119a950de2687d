"""Announces what is in force: rules, settings, profile, and the device for Home Assistant."""

import time
from collections.abc import Callable, Iterable, Mapping

from edge.alerts.rule_set import RuleSet
from edge.config.document import suggestion
from edge.config.models import Config
from edge.config.prompt import PromptConfig
from edge.control.announce import homeassistant
from edge.control.announce.alerting import Pair
from edge.control.announce.messages import profile_message, prompts_message, setting_messages
from edge.control.announce.retained import Retained
from edge.delivery.message import Message
from edge.delivery.payloads import LessonRef, PromptsStatePayload, utc
from edge.delivery.topics import Topics


class Announcer:
    """Publishes retained messages about the rules, each where it changed.

    Args:
        config: Configuration of the box.
        publish: Sends a message.
        retained: What lies at the broker.

    Attributes:
        applied_at: UTC seconds since when the rules are in force.
        config: Configuration of the box.
    """

    def __init__(
        self, config: Config, publish: Callable[[Message], None], retained: Retained
    ) -> None:
        self.applied_at = time.time()
        self.config = config
        self._topics = Topics(config.mqtt.topic_prefix, config.device.id)
        self._publish = publish
        self._retained = retained
        self._components: dict[str, homeassistant.Component] = {}

    def announce(self, rules: RuleSet, lessons: Mapping[str, LessonRef], error: str | None) -> None:
        """Publish what changed.

        Args:
            rules: Rules in force.
            lessons: Lessons of the rules that learned from feedback.
            error: Reason why the last command was refused; None where it was not.
        """
        topics, prompts, profile = self._topics, rules.prompts, rules.profile or ""
        cameras = self._assigned(rules)
        pairs = _pairs(cameras)
        state = PromptsStatePayload(
            device=self.config.device.id,
            hash=rules.bank.hash,
            source="file" if prompts == self.config.prompts else "mqtt",
            applied_at=utc(self.applied_at),
            prompts={
                name: prompt.model_dump(mode="json", by_alias=True)
                for name, prompt in prompts.items()
            },
            profile=rules.profile,
            cameras={
                name: tuple(camera for camera, rule in pairs if rule == name) for name in prompts
            },
            lessons=dict(lessons),
            notes=(
                *rules.set_aside.values(),
                *map(str, rules.bank.notes),
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
        if self.config.homeassistant.discovery:
            self._components = homeassistant.components_of(prompts, cameras)
            messages.append(self._description())
        platforms = {key: component["p"] for key, component in self._components.items()}
        self._retained.replace(messages, self._of_others(pairs), platforms)

    def expect(self, rules: RuleSet) -> None:
        """Prepare for the messages of rules that the loop is about to adopt."""
        self._retained.expect(self._of_others(_pairs(self._assigned(rules))))

    def hear_former(self, topic: str, status: bytes) -> None:
        """Take the status of an earlier name of the box."""
        self._retained.hear_former(topic, status)

    def removed(self, topic: str) -> None:
        """Note that the broker has removed what was retained on a topic."""
        self._retained.removed(topic)

    def describe(self) -> None:
        """Publish the description of the device again, because Home Assistant has started."""
        self._publish(self._description())

    def _assigned(self, rules: RuleSet) -> dict[str, list[str]]:
        # A rule that is switched off stays where it is shown.
        return {name: rules.assigned(camera) for name, camera in self.config.cameras.items()}

    def _of_others(self, pairs: Iterable[Pair]) -> list[str]:
        """Return the topics on which the rest of the daemon publishes retained messages."""
        topics, pairs = self._topics, list(pairs)
        found = [topics.status(), topics.device_state()]
        found += [topics.state(camera) for camera in self.config.cameras]
        found += [topics.alerting(*pair) for pair in pairs]
        if self.config.homeassistant.discovery:
            found += [topics.latest_snapshot(*pair) for pair in pairs]
        return found

    def _description(self) -> Message:
        return homeassistant.discovery_message(
            self.config.homeassistant, self._topics, self._components, self._retained.components
        )


def _pairs(cameras: Mapping[str, Iterable[str]]) -> list[Pair]:
    return [(camera, rule) for camera, own in cameras.items() for rule in own]


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
