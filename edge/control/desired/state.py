"""What the rules shall be: those of the file, what was desired over MQTT, single settings on top.

::

    file ──(base: file)──▶ desired state ──▶ single settings ──▶ effective prompts

A new desired state puts an end to single settings of the rules that it names; the same one again
changes nothing, so what the broker keeps may arrive at every connect.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from edge.config.fields import Name
from edge.config.load import checked
from edge.config.prompt import PromptConfig, SharpenedConfig
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


class TaughtSettings(_Kept):
    """What a rule's alerts taught it, and of what: for other sentences or another model it is void.

    Attributes:
        record: Its settings.
        lesson: What they are good for.
        model: Hash of the bundle.
        text: The rule's sentences.
        negatives: Likewise.
    """

    record: SharpenedConfig
    lesson: LessonRef
    model: str
    text: tuple[str, ...]
    negatives: tuple[str, ...]


class RuleSettings(_Kept):
    """What was set of one rule by itself; None: nothing.

    Attributes:
        threshold: ``auto``: learned, whatever the rule says.
        false_alarms_per_day: Rests while a threshold is fixed.
        sharpened: What its alerts taught; ``off``: nothing, whatever the rule says.
    """

    enabled: bool | None = None
    false_alarms_per_day: float | None = None
    threshold: float | Literal["auto"] | None = None
    text: tuple[str, ...] | None = None
    sharpened: TaughtSettings | Literal["off"] | None = None

    def over(self, name: str, prompt: PromptConfig) -> PromptConfig:
        """The rule with these settings.

        Raises:
            ConfigError: It cannot be.
        """
        values = plain(prompt)
        for key in ("enabled", "text"):
            if (value := getattr(self, key)) is not None:
                values[key] = value
        taught = self.taught(values["text"], values.get("negatives", ()))
        if taught is not None:
            values["sharpened"] = taught.record.model_dump(mode="json", exclude_unset=True)
        elif self.sharpened == "off" or isinstance(self.threshold, float):
            values.pop("sharpened", None)
        if self.threshold is not None:
            values.pop("threshold", None)
        if isinstance(self.threshold, float):
            values["threshold"] = self.threshold
        if values.get("threshold") is not None:
            values.pop("false_alarms_per_day", None)
        elif self.false_alarms_per_day is not None:
            values["false_alarms_per_day"] = self.false_alarms_per_day
        return checked(PromptConfig, values, ("prompts", name))

    def taught(self, text: Sequence[str], negatives: Sequence[str]) -> TaughtSettings | None:
        """What alerts taught a rule of these sentences."""
        own = self.sharpened
        if not isinstance(own, TaughtSettings):
            return None
        return own if (own.text, own.negatives) == (tuple(text), tuple(negatives)) else None


class Desired(_Kept):
    """All that was set over MQTT and not taken back.

    Attributes:
        prompts: The desired state; None where there is none.
        settings: Single settings, by rule.
        profile: None: the file's.
    """

    prompts: DesiredPrompts | None = None
    settings: dict[Name, RuleSettings] = Field(default_factory=dict)
    profile: Name | None = None

    def effective(self, file: Mapping[str, PromptConfig]) -> dict[str, PromptConfig]:
        """The rules that follow, by name.

        Args:
            file: The configuration's rules.

        Raises:
            ConfigError: A rule cannot be so.
        """
        prompts = dict(file)
        if self.prompts is not None:
            prompts = (prompts if self.prompts.base == "file" else {}) | self.prompts.prompts
        return {
            name: self.settings[name].over(name, prompt) if name in self.settings else prompt
            for name, prompt in prompts.items()
        }

    def after(self, command: Command, file: Mapping[str, PromptConfig]) -> "Desired":
        """What shall be after ``command``; itself where that says nothing new.

        Raises:
            ConfigError: It is about a rule that there is not, or a rule cannot be so.
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
                    update["threshold"] = "auto"  # what one asks for is to be learned
                if feature == "sharpened" and value is None and setting.sharpened != "off":
                    return self
                if (
                    isinstance(value, float)
                    and feature == "threshold"
                    and setting.sharpened != "off"
                ):
                    update["sharpened"] = None  # the last word counts
                new = self._with(rule, setting.model_copy(update=update))
            case SetProfile(profile):
                word = checked(_Profile, {"profile": profile or None}).profile
                return self.model_copy(update={"profile": word})
            case _:
                return self
        new.effective(file)
        return new

    def untaught(self, rule: str, file: Mapping[str, PromptConfig]) -> PromptConfig | None:
        """A rule without what its alerts taught; None where there is none, or it is not to learn.

        Raises:
            ConfigError: A rule cannot be so.
        """
        setting = self.settings.get(rule, RuleSettings())
        if setting.sharpened == "off":
            return None
        bare = self._with(rule, setting.model_copy(update={"sharpened": None}))
        return bare.effective(file).get(rule)

    def teach(self, rule: str, taught: TaughtSettings | None) -> "Desired":
        """What shall be once the alerts of a rule taught it this, or nothing (any more)."""
        setting = self.settings.get(rule, RuleSettings())
        if setting.sharpened == taught:
            return self
        return self._with(rule, setting.model_copy(update={"sharpened": taught}))

    def of_model(self, model: str) -> "Desired":
        """Without what was taught with other models."""
        new = self
        for rule, setting in self.settings.items():
            own = setting.sharpened
            if isinstance(own, TaughtSettings) and own.model != model:
                new = new.teach(rule, None)
        return new

    def lessons(self, file: Mapping[str, PromptConfig]) -> dict[str, LessonRef]:
        """What is in force of what alerts taught, by rule."""
        prompts = self.effective(file)
        found = {
            rule: setting.taught(prompts[rule].text, prompts[rule].negatives)
            for rule, setting in self.settings.items()
            if rule in prompts
        }
        return {rule: taught.lesson for rule, taught in found.items() if taught is not None}

    def _with(self, rule: str, setting: RuleSettings) -> "Desired":
        return self.model_copy(update={"settings": self.settings | {rule: setting}})


class _Profile(_Kept):
    profile: Name | None


def plain(prompt: PromptConfig) -> dict[str, Any]:
    """What is set of a rule, as plain values that make it again."""
    return prompt.model_dump(mode="json", by_alias=True, exclude_unset=True)
