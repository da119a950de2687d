"""Whether a rule is on now. Pure: time, light and profile are given.

A rule is on while it is enabled, the box has one of the profiles that the rule is for, its schedule
says so, and it is day or night as the rule wants; what it does not name does not matter. Off, it is
not looked at: a running alert ends, and nothing is learned.
"""

from dataclasses import dataclass
from datetime import datetime

from edge.config.models import PromptConfig
from edge.light import Word


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
    """Whether the rule is on."""
    return (
        prompt.enabled
        and (not prompt.profiles or now.profile in prompt.profiles)
        and prompt.when in {None, now.light}
        and (not prompt.schedule or any(part.active(now.at) for part in prompt.schedule))
    )


def alike(one: PromptConfig, other: PromptConfig) -> bool:
    """Whether two rules look for the same in the same way, though at other times perhaps."""
    return _always(one) == _always(other)


def _always(prompt: PromptConfig) -> PromptConfig:
    return prompt.model_copy(update={"enabled": True, "profiles": (), "when": None, "schedule": ()})
