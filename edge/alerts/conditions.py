"""Decides whether a rule is on now. Pure: the caller gives time, light and profile.

A rule may name profiles, a schedule, and day or night. An enabled rule is on while all the
conditions that it names hold: the box has one of these profiles, the schedule is on, and the camera
has this light. While a rule is off, its running alert ends, and it learns nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from edge.alerts.scene.light import Word
from edge.config.prompt import PromptConfig
from edge.config.schedule import Schedule

# Number of changes that are examined where several schedules take turns: more than a week of them.
_MOST_CHANGES: Final = 50


@dataclass(frozen=True, slots=True)
class Conditions:
    """Present state of what a camera's rules depend on.

    Attributes:
        at: Time, aware, in the box's time zone. Schedules without a zone of their own use this
            zone.
        light: Light of the camera; None while it is not known: then it is neither day nor night.
        profile: Profile of the box; None where it has none.
    """

    at: datetime
    light: Word | None
    profile: str | None


def is_on(prompt: PromptConfig, now: Conditions) -> bool:
    """Return whether an enabled rule is on."""
    return (
        (not prompt.profiles or now.profile in prompt.profiles)
        and prompt.when in {None, now.light}
        and (not prompt.schedule or _scheduled(prompt.schedule, now.at))
    )


def conditions_of(prompt: PromptConfig, at: datetime) -> str:
    """Return in words what a rule needs to be on; empty where it needs nothing."""
    words = [] if prompt.enabled else ["not enabled"]
    if prompt.profiles:
        words.append(f"in the profile {' or '.join(prompt.profiles)}")
    if prompt.when is not None:
        words.append(f"by {prompt.when}")
    if prompt.schedule:
        change = _next_switch(prompt.schedule, at)
        until = "" if change is None else f" until {change:%a %Y-%m-%d %H:%M %Z}"
        words.append(f"schedule: {'on' if _scheduled(prompt.schedule, at) else 'off'}{until}")
    return ", ".join(words)


def alike(one: PromptConfig, other: PromptConfig) -> bool:
    """Return whether two rules look for the same thing in the same way, at any times."""
    return _always(one) == _always(other)


def _always(prompt: PromptConfig) -> PromptConfig:
    return prompt.model_copy(update={"profiles": (), "when": None, "schedule": ()})


def _scheduled(schedules: Sequence[Schedule], at: datetime) -> bool:
    return any(schedule.active(at) for schedule in schedules)


def _next_switch(schedules: Sequence[Schedule], at: datetime) -> datetime | None:
    """Return when ``_scheduled`` changes next; None: not soon."""
    now = _scheduled(schedules, at)
    for _ in range(_MOST_CHANGES):
        changes = [change for one in schedules if (change := one.next_change(at)) is not None]
        if not changes:
            break
        at = min(changes, key=datetime.timestamp)
        if _scheduled(schedules, at) != now:
            return at
    return None
