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
    events: tuple[Any, ...] = Field(min_length=1)


def read_labels(path: Path, footage: Path) -> tuple[Label, ...]:
    """Read labels and check that their clips are there.

    Args:
        path: JSON file.
        footage: Folder of the clips.

    Raises:
        ConfigError: The file cannot be read, or has problems; the message lists one per line.
    """
    try:
        events = _File.model_validate_json(path.read_bytes()).events
    except OSError as exc:
        raise ConfigError(f"{path}: cannot read the labels: {exc.strerror}") from exc
    except ValidationError as exc:
        raise ConfigError(_listing(path, [_told(error) for error in exc.errors()])) from None
    labels, problems = [], list(_missing(events, footage))
    for index, event in enumerate(events):
        try:
            labels.append(Label.model_validate(event))
        except ValidationError as exc:
            problems += [_told(error, ("events", index)) for error in exc.errors()]
    if problems:
        raise ConfigError(_listing(path, problems))
    return tuple(labels)


def _missing(events: Sequence[Any], footage: Path) -> Iterator[str]:
    """Say for each clip that is not there, once, which events name it."""
    if not footage.is_dir():
        raise ConfigError(f"{footage}: expected a folder with the clips, found none")
    there = sorted(file.name for file in footage.iterdir() if file.is_file())
    named: dict[str, list[int]] = {}
    for index, event in enumerate(events):
        clip = event.get("clip") if isinstance(event, dict) else None
        if isinstance(clip, str) and (clip := clip.strip()) and clip not in there:
            named.setdefault(clip, []).append(index)
    for clip, (first, *more) in named.items():
        close = get_close_matches(clip, there, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        others = f" (and of {len(more)} more)" if more else ""
        yield f"events[{first}].clip{others}: no file {clip!r} in {footage}{hint}"


def _told(error: Any, within: tuple[str | int, ...] = ()) -> str:
    place = "".join(
        f"[{step}]" if isinstance(step, int) else f".{step}" for step in (*within, *error["loc"])
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
    if more := len(problems) - len(lines):
        lines.append(f"{path}: and {more} more")
    if len(problems) > 1:
        lines.insert(0, f"{path}: {len(problems)} problems")
    return "\n".join(lines)
