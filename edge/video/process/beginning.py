"""Defines what the process of a camera is given at its beginning."""

import logging
from dataclasses import dataclass
from typing import Final

from edge.config.models import CameraConfig
from edge.model.bundle.manifest import ImageSpec
from edge.video.spans import SPANS, JudgedSpans
from edge.video.worker import BEGINNING, CameraHealth

MOST_BYTES: Final = 128 * 1024
"""Size of the largest one."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a camera's process is given, by the daemon, before it has read a byte of a stranger.

    Attributes:
        name: Name of the camera.
        config: Its configuration.
        image: Pixels of a sample.
        clip: Pixels of a sample for a clip model; None without one.
        phase: Position of the samples within a sampling period.
        spans: Spans of the stream that are judged together.
        before: Health of the camera so far.
        level: Lowest level that is logged.
    """

    name: str
    config: CameraConfig
    image: ImageSpec
    clip: ImageSpec | None
    phase: float = 0.0
    spans: JudgedSpans = SPANS
    before: CameraHealth = BEGINNING
    level: int = logging.INFO
