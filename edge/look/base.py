"""The seam of the second look: a sample that would start an alert in, a finding out."""

from dataclasses import dataclass
from typing import Protocol

from edge.frame import Sample


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
        clip_margin: Of a clip model; None where none was asked.
    """

    confirmed: bool
    reason: str | None = None
    boxes: tuple[Box, ...] | None = None
    clip_margin: float | None = None


class SecondLook(Protocol):
    """Asked when an alert is about to start. Not thread-safe."""

    def look(self, camera: str, prompt: str, sample: Sample) -> Finding:
        """Look again.

        Args:
            camera: Whose sample it is.
            prompt: Name of the rule.
            sample: The one that would start the alert.

        Raises:
            InferenceError: The engine failed.
        """
        ...


class NoSecondLook:
    """Confirms everything."""

    def look(self, _camera: str, _prompt: str, _sample: Sample) -> Finding:
        return Finding(confirmed=True)
