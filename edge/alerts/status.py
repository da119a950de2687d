"""Says how a camera does: what is known of its newest sample, its rules and its scene."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from edge.alerts.scene.light import Word
from edge.alerts.threshold import CalibrationReport


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """Status of one camera.

    Attributes:
        lag_s: Seconds from arrival to decision of the newest sample; None before the first one.
        margins: Margin of each rule in the newest sample; rules that are off are missing.
        calibration: Origin of each rule's threshold.
        light: ``day`` or ``night``; None before the first sample.
        view_change: Last change of the view and its UTC seconds; None where there was none, or
            where the lens is no longer covered.
    """

    lag_s: float | None
    margins: Mapping[str, float]
    calibration: Mapping[str, CalibrationReport]
    light: Word | None
    view_change: tuple[Literal["moved", "covered"], float] | None
