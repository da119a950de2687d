"""The seam of the second look: a sample that would start an alert in, a finding out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from edge.config.models import PromptConfig
from edge.rules.bank import PromptBank
from edge.video.sample import Sample


@dataclass(frozen=True, slots=True)
class Box:
    """What was seen where.

    Attributes:
        phrase: What was looked for.
        score: 0..1.
        box: Left, top, right, bottom in 0..1 of the camera's picture.
    """

    phrase: str
    score: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Finding:
    """What the second look says.

    Attributes:
        confirmed: Whether the alert starts.
        reason: Why not, or why there are no boxes; for the log.
        boxes: What was seen, best first; None where nothing looked for boxes.
        clip_margin: Of the clip model; None where it was not asked.
    """

    confirmed: bool
    reason: str | None = None
    boxes: tuple[Box, ...] | None = None
    clip_margin: float | None = None


class SecondLook(Protocol):
    """Asked when an alert is about to start. Not thread-safe, but for ``prepare``."""

    def prepare(self, prompts: Mapping[str, PromptConfig], bank: PromptBank) -> None:
        """Get ready for other rules; may take seconds, so that ``look`` does not.

        Raises:
            ConfigError: A rule asks for what there is not, or cannot be compiled.
            ModelError: A graph is not usable.
            InferenceError: The engine failed.
        """
        ...

    def see(self, sample: Sample) -> None:
        """Take note of every sample: what happens may have begun before the trigger."""
        ...

    def look(self, bank: PromptBank, rule: str, sample: Sample) -> Finding:
        """Look again. Never raises for an engine that failed: the finding says so.

        Args:
            bank: What the rules are compiled to.
            rule: Whose alert would start.
            sample: The one that would start it.
        """
        ...


class NoSecondLook:
    """Confirms everything."""

    def prepare(self, prompts: Mapping[str, PromptConfig], bank: PromptBank) -> None:
        """There is nothing to prepare."""

    def see(self, sample: Sample) -> None:
        """There is nothing to note."""

    def look(self, _bank: PromptBank, _rule: str, _sample: Sample) -> Finding:
        return Finding(confirmed=True)
