"""Defines the second look: a sample that would start an alert goes in, a finding comes out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.config.models import CameraConfig
from edge.config.prompt import PromptConfig
from edge.errors import InferenceError
from edge.model.bundle.manifest import ImageSpec
from edge.rules.bank import PromptBank
from edge.video.sample import Sample
from edge.video.worker import Edges

# (camera, sequence, size and resize rule, box or the whole) -> pixels; None when the frame is gone.
PixelsOf = Callable[[str, int, ImageSpec, Edges | None], NDArray[np.int8] | None]


@dataclass(frozen=True, slots=True)
class Box:
    """One box of a detector.

    Attributes:
        phrase: Phrase that the detector looked for.
        score: Score of the detector, 0..1.
        box: Left, top, right, bottom in 0..1 of the camera's picture.
    """

    phrase: str
    score: float
    box: Edges


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of a second look.

    Attributes:
        confirmed: Whether the alert starts.
        reason: Reason why it does not start or has no boxes, for the log.
        boxes: Boxes that were seen, best first; None where nothing looked for boxes.
        clip_margin: Margin of the clip model; None where it was not asked.
    """

    confirmed: bool
    reason: str | None = None
    boxes: tuple[Box, ...] | None = None
    clip_margin: float | None = None


# (name of a rule, sample that would start its alert) -> finding. It never raises for an engine that
# failed: the finding says so.
Confirm = Callable[[str, Sample], Finding]


def confirm_all(_rule: str, _sample: Sample) -> Finding:
    """Confirm every alert: the ``Confirm`` of a box without second looks."""
    return Finding(confirmed=True)


def held_pixels(
    pixels_of: PixelsOf, sample: Sample, spec: ImageSpec, box: Edges | None = None
) -> NDArray[np.int8]:
    """Return pixels of the frame that a sample was made of, of a box in it or of the whole.

    Raises:
        InferenceError: The frame is gone, so nobody can say whether something was there.
    """
    pixels = pixels_of(sample.camera, sample.sequence, spec, box)
    if pixels is None:
        raise InferenceError(f"expected the frame of sample {sample.sequence}, found it gone")
    return pixels


class SecondLook(Protocol):
    """Prepares the second look for a set of rules."""

    def prepare(
        self,
        prompts: Mapping[str, PromptConfig],
        bank: PromptBank,
        cameras: Mapping[str, CameraConfig],
    ) -> Confirm:
        """Make the second look of other rules, which changes nothing for the present ones.

        It may take seconds and may be called from any thread.

        Raises:
            ConfigError: A rule asks for something that is missing, or cannot be compiled.
            ModelError: A graph is not usable.
            InferenceError: The engine failed.
        """
        ...

    def see(self, sample: Sample) -> None:
        """Take note of each sample, because an event may begin before the trigger."""
        ...


class NoSecondLook:
    """Confirms every alert."""

    def prepare(
        self,
        _prompts: Mapping[str, PromptConfig],
        _bank: PromptBank,
        _cameras: Mapping[str, CameraConfig],
    ) -> Confirm:
        return confirm_all

    def see(self, sample: Sample) -> None:
        """There is nothing to note."""
