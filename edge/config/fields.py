"""Defines the base of all records of a configuration, and the types of their values.

Durations are seconds in code; the file may also give them as ``500ms``, ``10s``, ``5m``, ``1h``.
"""

import re
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from edge.config.hosts import host, mqtt_text
from edge.config.urls import resolve_url
from edge.system.visible import is_visible

_DURATION = r"^([0-9]+(?:\.[0-9]+)?) ?(ms|s|m|h|d)?$"
_RATIO = r"^[0-9]{1,5}:[0-9]{1,5}$"
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
# Ten years: whoever writes more means "never", which no duration can say.
_LONGEST_S = 3650 * 86400.0


class ConfigSection(BaseModel):
    """Base of all sections: frozen, and keys that the section does not have are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_bool_as_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse ``port: true``, which Python takes for 1."""
        if isinstance(value, bool) and info.field_name is not None:
            words = str(cls.model_fields[info.field_name].annotation)
            if re.search(r"\b(int|float)\b", words) and not re.search(r"\bbool\b", words):
                raise ValueError("expected a number")
        return value


def seconds(value: Any) -> Any:
    """Turn a duration such as ``500ms`` or ``5m`` into seconds; leave a number as it is."""
    if isinstance(value, str):
        match = re.fullmatch(_DURATION, value)
        if not match:
            raise ValueError("expected a duration such as 10s, 500ms or 5m")
        value = float(match[1]) * _UNITS[match[2] or "s"]
    if isinstance(value, int | float) and value < 0:
        raise ValueError("expected a duration of at least 0")
    if isinstance(value, int | float) and value > _LONGEST_S:
        raise ValueError("expected a duration of at most 3650d")
    return value


def one_or_more(value: Any) -> Any:
    """Turn a single text into a list of one; leave everything else as it is."""
    return [value] if isinstance(value, str) else value


def digits_as_text(value: Any) -> Any:
    """Turn a whole number into text: people write ``protocol: 5``, a number in YAML."""
    return str(value) if type(value) is int else value


def ratio(text: str) -> Fraction:
    """Return the value of a ratio such as ``16:9``."""
    wide, high = text.split(":")
    return Fraction(int(wide), int(high))


def _possible_shape(text: str) -> str:
    if not int(text.split(":")[1]) or not Fraction(1, 4) <= ratio(text) <= 4:
        raise ValueError("expected width:height of a picture, from 1:4 to 4:1")
    return text


def _as_ratio(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(_RATIO, value):
        raise ValueError("expected width:height of the picture, such as 16:9")
    return value


def null_as_text(value: Any) -> Any:
    """Turn YAML's null into the word: people write ``kind: null``, the name of an engine."""
    return "null" if value is None else value


def _text_as_number(value: Any) -> Any:
    """Turn digits into a number: what a variable brings in is text."""
    return int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,3}", value) else value


def _not_blank(value: Any) -> Any:
    if isinstance(value, str) and not is_visible(value):
        raise ValueError("expected some text")
    return value


def _not_reserved(name: str) -> str:
    if name in RESERVED:
        raise ValueError("expected another name: the box itself has a topic of this one")
    return name


def _plain_topic(topic: str) -> str:
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*", topic, re.ASCII):
        raise ValueError("expected a topic such as homeassistant/status, without '+' and '#'")
    return topic


def sum_to_one(weights: tuple[float, ...]) -> tuple[float, ...]:
    """Check that weights, if there are any, add up to 1 within 0.001."""
    if weights and abs(sum(weights) - 1) > 1e-3:
        raise ValueError(f"expected weights that add up to 1, found a sum of {sum(weights):g}")
    return weights


def _folder(info: ValidationInfo) -> Path:
    """Folder that relative paths start from: ``load_config`` passes it as context."""
    return info.context["folder"] if info.context else Path()


def _against_folder(value: Path, info: ValidationInfo) -> Path:
    return _folder(info) / value


def camera_url(value: SecretStr, info: ValidationInfo) -> SecretStr:
    """Check a camera's URL, and make a relative path in it absolute."""
    return SecretStr(resolve_url(value.get_secret_value(), _folder(info)))


def mqtt_secret(value: SecretStr) -> SecretStr:
    """Check that there is a password, and that it fits into a CONNECT packet."""
    if not value:
        raise ValueError("expected some text")
    mqtt_text(value.get_secret_value())
    return value


Seconds = Annotated[
    float,
    BeforeValidator(
        seconds,
        json_schema_input_type=Annotated[float, Field(ge=0)]
        | Annotated[str, Field(pattern=_DURATION)],
    ),
]
Text = Annotated[str, AfterValidator(_not_blank)]
Host = Annotated[Text, AfterValidator(host)]
MqttText = Annotated[Text, AfterValidator(mqtt_text)]
Texts = Annotated[
    tuple[Text, ...],
    BeforeValidator(one_or_more, json_schema_input_type=str | tuple[str, ...]),
]
# A name becomes an MQTT topic level, so it contains no '/', '+', '#' or blank.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Names = Annotated[
    tuple[Name, ...],
    BeforeValidator(one_or_more, json_schema_input_type=Name | tuple[Name, ...]),
]
AspectRatio = Annotated[
    str, Field(pattern=_RATIO), BeforeValidator(_as_ratio), AfterValidator(_possible_shape)
]
QuarterTurn = Annotated[
    Literal[0, 90, 180, 270],
    BeforeValidator(_text_as_number, json_schema_input_type=Literal[0, 90, 180, 270]),
]
Share = Annotated[float, Field(ge=0, le=1)]
Polygon = Annotated[tuple[tuple[Share, Share], ...], Field(min_length=3)]
# Names of the box's own topics, which have the same level as the names of its cameras.
RESERVED = {"status", "prompts", "prompt", "profile", "feedback", "answer", "search"}
CameraName = Annotated[Name, AfterValidator(_not_reserved)]
Topic = Annotated[str, AfterValidator(_plain_topic)]
LocalPath = Annotated[Path, BeforeValidator(_not_blank), AfterValidator(_against_folder)]
LocalPaths = Annotated[
    tuple[LocalPath, ...],
    BeforeValidator(one_or_more, json_schema_input_type=LocalPath | tuple[LocalPath, ...]),
]
