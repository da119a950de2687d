"""Reads labels, the events that really happened in recordings, from a JSON file.

::

    {"events": [
      {"clip": "yard.mp4", "prompt": "a person", "start_s": 4.4, "end_s": 8.5, "tol_s": 0.2}
    ]}

``tol_s`` is the uncertainty of the two times. Other keys beside ``events``, and ``note`` in an
event, are for people. If a prompt has labels in a clip, these are all its events there: any other
alert of the prompt in that clip is false.
"""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from edge.errors import ConfigError

_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
# Maximum problems listed; further ones are only counted.
_MOST_PROBLEMS = 20


class Label(BaseModel):
    """One event that really happened.

    Attributes:
        clip: File name in the folder of footage.
        prompt: Sentence, or name of a rule.
        start_s: Start of the event, seconds from the beginning of the clip.
        end_s: End of the event, seconds from the beginning of the clip, after the start.
        tol_s: Uncertainty of both times, seconds.
        note: Comment for people.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    clip: _Text
    prompt: _Text
    start_s: _Seconds
    end_s: _Seconds
    tol_s: _Seconds = 0.0
    note: str | None = None

    @field_validator("end_s")
    @classmethod
    def _after_its_start(cls, value: float, info: ValidationInfo) -> float:
        start_s = info.data.get("start_s")
        if start_s is not None and value <= start_s:
            raise ValueError(f"expected an end after the start at {start_s:g} s")
        return value

    @property
    def span(self) -> tuple[float, float]:
        """Return start and end, each moved outwards by the uncertainty."""
        return self.start_s - self.tol_s, self.end_s + self.tol_s


class _File(BaseModel):
    events: tuple[Label, ...] = Field(min_length=1)


def read_labels(path: Path, footage: Path) -> tuple[Label, ...]:
    """Read labels and check that their clips are there.

    Args:
        path: JSON file.
        footage: Folder of the clips.

    Raises:
        ConfigError: The file cannot be read, or has problems; the message lists one per line.
    """
    try:
        labels = _File.model_validate_json(path.read_bytes()).events
    except OSError as exc:
        raise ConfigError(f"{path}: cannot read the labels: {exc.strerror}") from exc
    except ValidationError as exc:
        # If items are wrong, pydantic also reports that there are too few of them.
        errors = [e for e in exc.errors() if e["type"] != "too_short" or not e["input"]]
        raise ConfigError(_listing(path, [_told(error) for error in errors])) from None
    if problems := list(dict.fromkeys(_missing(labels, footage))):
        raise ConfigError(_listing(path, problems))
    return labels


def _missing(labels: Sequence[Label], footage: Path) -> Iterator[str]:
    if not footage.is_dir():
        raise ConfigError(f"{footage}: expected a folder with the clips, found none")
    there = sorted(file.name for file in footage.iterdir() if file.is_file())
    for index, label in enumerate(labels):
        if label.clip not in there:
            close = get_close_matches(label.clip, there, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            yield f"events[{index}].clip: no file {label.clip!r} in {footage}{hint}"


def _told(error: Any) -> str:
    place = "".join(
        f"[{step}]" if isinstance(step, int) else f".{step}" for step in error["loc"]
    ).lstrip(".")
    match error["type"]:
        case "missing":
            text = "missing"
        case "extra_forbidden":
            known = ", ".join(Label.model_fields)
            text = f"unknown key; expected one of {known}"
        case "value_error":
            text = f"{error['ctx']['error']}, found {error['input']!r:.40}"
        case "json_invalid":
            text = f"expected JSON: {error['ctx']['error']}"
        case _:
            text = f"{error['msg'][0].lower()}{error['msg'][1:]}, found {error['input']!r:.40}"
    return f"{place}: {text}" if place else text


def _listing(path: Path, problems: Sequence[str]) -> str:
    lines = [f"{path}: {problem}" for problem in problems[:_MOST_PROBLEMS]]
    if len(problems) > 1:
        lines.insert(0, f"{path}: {len(problems)} problems")
    return "\n".join(lines)
