"""Holds what was set over MQTT, and derives the effective rules from it and the file's rules.

::

    file ──(base: file)──▶ desired state ──▶ single settings ──▶ effective prompts

A new desired state removes the single settings of the rules that it names. The same desired state
again changes nothing, so the retained one may arrive at every connect.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from edge.config.fields import Name
from edge.config.load import checked
from edge.config.prompt import LEARNED, PromptConfig, SharpenedConfig
from edge.control.commands import (
    Command,
    DesiredPrompts,
    SetFeature,
    SetProfile,
    SetPrompts,
    known_rule,
)
from edge.delivery.payloads import LessonRef


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FeedbackSettings(_Kept):
    """Settings that a rule learned from feedback. Other sentences or another model void them.

    Attributes:
        record: The settings.
        lesson: Effect of the settings on the rule's alerts.
        model: Hash of the bundle.
        text: Sentences of the rule.
        negatives: Negative sentences of the rule.
    """

    record: SharpenedConfig
    lesson: LessonRef
    model: str
    text: tuple[str, ...]
    negatives: tuple[str, ...]


class RuleSettings(_Kept):
    """Single settings of one rule; None where a setting was not set by itself.

    Attributes:
        enabled: Whether the rule is enabled.
        false_alarms_per_day: False alarms per day; without effect while the threshold is fixed.
        threshold: Fixed threshold; ``auto`` for a learned one, whatever the rule says.
        text: Sentences.
        sharpened: Settings that the rule learned from feedback; ``off`` for none, whatever the rule
            says.
    """

    enabled: bool | None = None
    false_alarms_per_day: float | None = None
    threshold: float | Literal["auto"] | None = None
    text: tuple[str, ...] | None = None
    sharpened: FeedbackSettings | Literal["off"] | None = None

    def over(self, name: str, prompt: PromptConfig) -> PromptConfig:
        """Return the rule with these settings.

        Raises:
            ConfigError: The settings make no valid rule.
        """
        values = plain(prompt)
        for key in ("enabled", "text"):
            if (value := getattr(self, key)) is not None:
                values[key] = value
        learned = self.from_feedback(values["text"], values.get("negatives", ()))
        if learned is not None:
            values["sharpened"] = learned.record.model_dump(mode="json", exclude_unset=True)
        elif self.sharpened == "off" or isinstance(self.threshold, float):
            values.pop("sharpened", None)
        if self.threshold is not None:
            values.pop("threshold", None)
        if isinstance(self.threshold, float):
            values["threshold"] = self.threshold
        if values.get("threshold") is not None:
            for key in LEARNED:
                values.pop(key, None)
        elif self.false_alarms_per_day is not None:
            values["false_alarms_per_day"] = self.false_alarms_per_day
        return checked(PromptConfig, values, ("prompts", name))

    def from_feedback(
        self, text: Sequence[str], negatives: Sequence[str]
    ) -> FeedbackSettings | None:
        """Return the settings from feedback; None where they are for other sentences."""
        own = self.sharpened
        if not isinstance(own, FeedbackSettings):
            return None
        return own if (own.text, own.negatives) == (tuple(text), tuple(negatives)) else None


class Desired(_Kept):
    """Everything that was set over MQTT and not taken back.

    Attributes:
        prompts: Desired state; None where there is none.
        settings: Single settings by rule.
        profile: Profile of the box; None for the file's.
    """

    prompts: DesiredPrompts | None = None
    settings: dict[Name, RuleSettings] = Field(default_factory=dict)
    profile: Name | None = None

    def effective(self, file: Mapping[str, PromptConfig]) -> dict[str, PromptConfig]:
        """Return the effective rules by name.

        Args:
            file: Rules of the configuration.

        Raises:
            ConfigError: A rule is not valid.
        """
        prompts = dict(file)
        if self.prompts is not None:
            prompts = (prompts if self.prompts.base == "file" else {}) | self.prompts.prompts
        return {
            name: self.settings[name].over(name, prompt) if name in self.settings else prompt
            for name, prompt in prompts.items()
        }

    def after(self, command: Command, file: Mapping[str, PromptConfig]) -> "Desired":
        """Return the state after ``command``; this one where the command changes nothing.

        Raises:
            ConfigError: The command names a rule that does not exist, or makes a rule invalid.
        """
        match command:
            case SetPrompts(None):
                return Desired(profile=self.profile)
            case SetPrompts(DesiredPrompts() as desired) if desired != self.prompts:
                new = self.model_copy(update={"prompts": desired, "settings": {}})
                others = new.effective(file).keys() - desired.prompts.keys()
                kept = {name: self.settings[name] for name in self.settings.keys() & others}
                new = new.model_copy(update={"settings": kept})
            case SetFeature(rule, feature, value):
                known_rule(rule, list(self.effective(file)))
                setting = self.settings.get(rule, RuleSettings())
                update: dict[str, Any] = {feature: value}
                if feature == "false_alarms_per_day":
                    update["threshold"] = "auto"  # the threshold must be learned to meet it
                if feature == "sharpened" and value is None and setting.sharpened != "off":
                    return self
                if (
                    isinstance(value, float)
                    and feature == "threshold"
                    and setting.sharpened != "off"
                ):
                    update["sharpened"] = None  # the later setting counts
                new = self._with(rule, setting.model_copy(update=update))
            case SetProfile(profile):
                word = checked(_Profile, {"profile": profile or None}).profile
                return self.model_copy(update={"profile": word})
            case _:
                return self
        new.effective(file)
        return new

    def without_feedback(self, rule: str, file: Mapping[str, PromptConfig]) -> PromptConfig | None:
        """Return a rule without its settings from feedback.

        None where the rule does not exist or must not learn.

        Raises:
            ConfigError: A rule is not valid.
        """
        setting = self.settings.get(rule, RuleSettings())
        if setting.sharpened == "off":
            return None
        bare = self._with(rule, setting.model_copy(update={"sharpened": None}))
        return bare.effective(file).get(rule)

    def teach(self, rule: str, learned: FeedbackSettings | None) -> "Desired":
        """Return the state in which a rule has these settings from feedback; None for none."""
        setting = self.settings.get(rule, RuleSettings())
        if setting.sharpened == learned:
            return self
        return self._with(rule, setting.model_copy(update={"sharpened": learned}))

    def of_model(self, model: str) -> "Desired":
        """Return the state without settings that were learned with another model."""
        new = self
        for rule, setting in self.settings.items():
            own = setting.sharpened
            if isinstance(own, FeedbackSettings) and own.model != model:
                new = new.teach(rule, None)
        return new

    def lessons(self, file: Mapping[str, PromptConfig]) -> dict[str, LessonRef]:
        """Return the lessons of the settings from feedback that are in force, by rule."""
        prompts = self.effective(file)
        found = {
            rule: setting.from_feedback(prompts[rule].text, prompts[rule].negatives)
            for rule, setting in self.settings.items()
            if rule in prompts
        }
        return {rule: learned.lesson for rule, learned in found.items() if learned is not None}

    def _with(self, rule: str, setting: RuleSettings) -> "Desired":
        return self.model_copy(update={"settings": self.settings | {rule: setting}})


class _Profile(_Kept):
    profile: Name | None


def plain(prompt: PromptConfig) -> dict[str, Any]:
    """Return the values that are set in a rule, from which it can be made again."""
    return prompt.model_dump(mode="json", by_alias=True, exclude_unset=True)
