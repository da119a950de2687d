"""Parses messages that arrive over MQTT into commands, or refuses them in words. Pure.

Only ``prompts/set`` and ``profile/set`` may be retained: they describe a state, and the same state
again changes nothing. Any other retained message is old and is ignored, because a test alert must
not come back at each connect.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from ulid import ULID

from edge.config.document import suggestion, unicode_text
from edge.config.fields import Name
from edge.config.load import checked
from edge.config.prompt import PromptConfig
from edge.delivery.message import Received
from edge.delivery.topics import Topics
from edge.errors import ConfigError

# A hundred rules of ten long sentences are 60 KB; a sentence takes milliseconds to compile.
MAX_BYTES: Final = 128 * 1024
MAX_RULES: Final = 200
MAX_SENTENCES: Final = 2000

Feature = Literal["enabled", "false_alarms_per_day", "threshold", "text", "sharpened", "test"]
FEATURES: Final[tuple[Feature, ...]] = get_args(Feature)

BETWEEN_SENTENCES: Final = "|"
"""Separates sentences that mean the same where one line must hold them all."""


_OBJECT: Final = TypeAdapter(dict[str, Any])


class _Received(BaseModel):
    # Unknown keys are ignored, so that an older box understands a newer sender.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class DesiredPrompts(_Received):
    """Payload of ``prompts/set``: the desired rules.

    Attributes:
        schema_: ``edge-prompts/1``.
        prompts: Rules by name, as in the configuration.
        base: ``file``: these rules and the file's, of which they replace those of the same name;
            ``none``: these rules alone.
    """

    schema_: Literal["edge-prompts/1"] = Field(alias="schema")
    prompts: dict[Name, PromptConfig] = Field(max_length=MAX_RULES)
    base: Literal["file", "none"] = "file"

    @model_validator(mode="after")
    def _some_and_not_too_many(self) -> Self:
        if self.base == "none" and not self.prompts:
            raise ValueError("expected at least one prompt where base is none")
        rules = self.prompts.values()
        count = sum(len(rule.text) + len(rule.negatives) for rule in rules)
        if count > MAX_SENTENCES:
            raise ValueError(f"expected at most {MAX_SENTENCES} sentences, found {count}")
        return self


def _is_ulid(text: str) -> str:
    try:
        return str(ULID.from_str(text))
    except ValueError:
        raise ValueError("expected the id of an alert (26 letters and digits)") from None


class Feedback(_Received):
    """Payload of ``feedback/set``: whether an alert was right.

    Attributes:
        schema_: ``edge-feedback/1``.
        alert: Id of the alert.
        correct: True where the alert was right; false for a false alarm.
    """

    schema_: Literal["edge-feedback/1"] = Field(alias="schema")
    alert: Annotated[str, AfterValidator(_is_ulid)]
    correct: bool


@dataclass(frozen=True, slots=True)
class SetPrompts:
    """Command: use these rules; None for the rules of the file, without single settings."""

    desired: DesiredPrompts | None


@dataclass(frozen=True, slots=True)
class SetFeature:
    """Command: change one setting of one rule.

    Attributes:
        rule: Name of the rule.
        feature: Name of the setting.
        value: New value: a bool for ``enabled``, a float for ``false_alarms_per_day``, a float or
            ``"auto"`` for ``threshold``, sentences for ``text``. For ``sharpened``, ``"off"``
            ignores all feedback, and None learns from it.
    """

    rule: str
    feature: Feature
    value: bool | float | str | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class SetProfile:
    """Command: change the profile of the whole box; empty for the file's profile."""

    profile: str


@dataclass(frozen=True, slots=True)
class TryRule:
    """Command: publish a test alert of this rule."""

    rule: str


@dataclass(frozen=True, slots=True)
class GiveFeedback:
    """Command: learn from this feedback."""

    feedback: Feedback


Command = SetPrompts | SetFeature | SetProfile | TryRule | GiveFeedback


def command_filters(topics: Topics) -> list[str]:
    """Return the topic filters of commands; no filter matches a topic that we publish to."""
    return [
        topics.command("prompts"),
        topics.command("prompt", "+", "+"),
        topics.command("profile"),
        topics.command("feedback"),
    ]


def command_of(topics: Topics, received: Received) -> Command | None:
    """Return the command in a message; None where the message is old and must be ignored.

    Raises:
        ConfigError: The message is no command; the text says what was expected and found.
    """
    ours, _, rest = received.topic.partition(f"{topics.prefix}/{topics.device}/")
    levels = [] if ours else rest.split("/")
    lasting = levels in (["prompts", "set"], ["profile", "set"])
    if received.retain and not lasting:
        return None
    if len(received.payload) > MAX_BYTES:
        raise ConfigError(f"expected a message of at most {MAX_BYTES} bytes, found more")
    match levels:
        case ["prompts", "set"]:
            desired = checked(DesiredPrompts, _json(received.payload)) if received.payload else None
            return SetPrompts(desired)
        case ["profile", "set"]:
            return SetProfile(_text(received.payload))
        case ["feedback", "set"]:
            return GiveFeedback(checked(Feedback, _json(received.payload)))
        case ["prompt", rule, feature, "set"]:
            return _of_rule(rule, feature, received.payload)
    raise ConfigError(f"expected a topic of a command, found {received.topic!r:.200}")


def _of_rule(rule: str, feature: str, payload: bytes) -> Command:
    text = _text(payload)
    match feature:
        case "test":
            return TryRule(rule)
        case "enabled":
            if text not in {"ON", "OFF"}:
                raise ConfigError(f"expected ON or OFF, found {text!r:.80}")
            return SetFeature(rule, feature, text == "ON")
        case "sharpened":
            if text not in {"ON", "OFF"}:
                raise ConfigError(f"expected ON or OFF, found {text!r:.80}")
            return SetFeature(rule, feature, None if text == "ON" else "off")
        case "false_alarms_per_day":
            return SetFeature(rule, feature, _number(text, "a number"))
        case "threshold":
            return SetFeature(
                rule, feature, text if text == "auto" else _number(text, "a number or auto")
            )
        case "text":
            sentences = tuple(part.strip() for part in text.split(BETWEEN_SENTENCES))
            return SetFeature(rule, feature, sentences)
    raise ConfigError(f"unknown feature {feature!r:.80}; {suggestion(feature, list(FEATURES))}")


def _number(text: str, expected: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"expected {expected}, found {text!r:.80}") from None


def _text(payload: bytes) -> str:
    try:
        return unicode_text(payload.decode()).strip()
    except UnicodeDecodeError:
        raise ConfigError("expected text in UTF-8, found other bytes") from None
    except ValueError as exc:
        raise ConfigError(str(exc)) from None


def _json(payload: bytes) -> dict[str, Any]:
    try:
        # pydantic's parser limits the depth and does not spend minutes on a number of many digits.
        return _OBJECT.validate_json(payload)
    except ValidationError as exc:
        reason = exc.errors(include_url=False, include_input=False)[0]["msg"]
        raise ConfigError(f"expected a JSON object, found something else: {reason}") from None


def known_rule(rule: str, known: Sequence[str]) -> None:
    """Check that a rule of this name exists.

    Raises:
        ConfigError: No rule has this name.
    """
    if rule not in known:
        raise ConfigError(f"there is no prompt {rule!r:.80}; {suggestion(rule, list(known))}")
