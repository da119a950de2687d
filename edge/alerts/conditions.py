"""Whether a rule is on now. Pure: time, light and profile are given.

A rule that is enabled is on while the box has one of the profiles that the rule is for, its
schedule says so, and it is day or night as the rule wants; what it does not name does not matter.
Off, it is not looked at: a running alert ends, and nothing is learned.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from edge.alerts.scene.light import Word
from edge.config.models import PromptConfig
from edge.config.schedule import Schedule

# Of schedules that take turns; more than a week of them.
_MOST_CHANGES: Final = 50


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a camera's rules depend on.

    Attributes:
        at: Aware, in the box's time zone, which is that of schedules without one of their own.
        light: Of the camera; None: not known yet, neither.
        profile: Of the box; None where it has none.
    """

    at: datetime
    light: Word | None
    profile: str | None


def is_on(prompt: PromptConfig, now: Conditions) -> bool:
    """Whether the rule, an enabled one (``edge.rules.plan``), is on."""
    return (
        (not prompt.profiles or now.profile in prompt.profiles)
        and prompt.when in {None, now.light}
        and (not prompt.schedule or _scheduled(prompt.schedule, now.at))
    )


def conditions_of(prompt: PromptConfig, at: datetime) -> str:
    """In words, what a rule needs to be on; empty where it needs nothing."""
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
    """Whether two rules look for the same in the same way, though at other times perhaps."""
    return _always(one) == _always(other)


def _always(prompt: PromptConfig) -> PromptConfig:
    return prompt.model_copy(update={"profiles": (), "when": None, "schedule": ()})


def _scheduled(schedules: Sequence[Schedule], at: datetime) -> bool:
    return any(schedule.active(at) for schedule in schedules)


def _next_switch(schedules: Sequence[Schedule], at: datetime) -> datetime | None:
    """When ``_scheduled`` will be another; None: not soon."""
    now = _scheduled(schedules, at)
    for _ in range(_MOST_CHANGES):
        changes = [change for one in schedules if (change := one.next_change(at)) is not None]
        if not changes:
            break
        at = min(changes, key=datetime.timestamp)
        if _scheduled(schedules, at) != now:
            return at
    return None
