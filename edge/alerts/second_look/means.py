"""Checks that a box has what the second looks of its rules need."""

from collections.abc import Mapping
from dataclasses import dataclass

from edge.config.models import CameraConfig
from edge.config.prompt import PromptConfig
from edge.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Means:
    """Means of a box to take a second look.

    Attributes:
        detector: Whether there is a detector.
        clip: Whether there is a clip model.
        crops: Whether the main model can score crops.
    """

    detector: bool
    clip: bool
    crops: bool


def needs_boxes(prompt: PromptConfig) -> bool:
    """Whether a rule needs boxes to be confirmed."""
    return bool(prompt.zones) or prompt.crop


def check_means(
    cameras: Mapping[str, CameraConfig],
    name: str,
    prompt: PromptConfig,
    has: Means,
    *,
    clauses: int,
) -> None:
    """Refuse a rule that asks for something that is missing.

    Args:
        cameras: Cameras and their zones.
        name: Name of the rule.
        prompt: The rule.
        has: Means of the box.
        clauses: Number of clauses in its sentence.

    Raises:
        ConfigError: The rule asks for something that is missing.
    """
    if prompt.kind == "clip" and not has.clip:
        raise ConfigError(
            f"prompt {name!r}: expected clip.bundle for kind: clip, found none; set clip.bundle"
        )
    if needs_boxes(prompt) and not has.detector:
        raise ConfigError(
            f"prompt {name!r}: expected a detector for zones or crop, found none: this model has "
            "no regions; set detector.bundle"
        )
    if prompt.crop and not has.crops:
        raise ConfigError(
            f"prompt {name!r}: expected a model of single frames (class F) for crop, found "
            "another; leave crop out"
        )
    if (prompt.crop or prompt.kind == "clip") and clauses != 1:
        raise ConfigError(
            f"prompt {name!r}: expected one clause with crop or kind: clip, found {clauses}; make "
            "a prompt of each"
        )
    drawn = {zone for camera in cameras.values() for zone in camera.zones}
    if unknown := set(prompt.zones) - drawn:
        raise ConfigError(
            f"prompt {name!r}: expected zones of a camera, found {', '.join(sorted(unknown))}; the "
            f"cameras have {', '.join(sorted(drawn)) or 'none'}"
        )
    for camera, settings in cameras.items():
        watched = settings.watched_by(name)
        if watched and prompt.zones and not set(prompt.zones) & settings.zones.keys():
            raise ConfigError(
                f"prompt {name!r}: expected one of its zones {', '.join(prompt.zones)} at camera "
                f"{camera!r}, found {', '.join(settings.zones) or 'none'}"
            )
