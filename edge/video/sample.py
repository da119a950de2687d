"""The records that travel between the stages, each frozen and cheap to hand on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Arrival:
    """When a packet came in, stamped before anything else touches it.

    Attributes:
        wall: UTC seconds since the epoch (``time.time``): for people and payloads.
        monotonic: Seconds of ``time.monotonic``: for arithmetic.
        pts_s: Presentation time within the stream in seconds, or None where the stream gave none.
            Good for ordering only: cameras jump and repeat.
    """

    wall: float
    monotonic: float
    pts_s: float | None


@dataclass(frozen=True, slots=True)
class Sample:
    """One frame chosen for embedding, ready for the engine. Plain data: it can cross a process.

    Attributes:
        camera: Camera name from the configuration.
        sequence: Counts the samples of this camera since start, from 0.
        arrival: When the frame's packet arrived.
        pixels: int8 [3, H, W], RGB planes, ``u8 ^ 0x80`` (see ``edge.video.preprocess``).
        size: Height and width of the frame that they come from; None where nobody needs it.
        clip_pixels: The same frame for a clip model, int8 [3, H', W']; None where there is none.
    """

    camera: str
    sequence: int
    arrival: Arrival
    pixels: NDArray[np.int8]
    size: tuple[int, int] | None = None
    clip_pixels: NDArray[np.int8] | None = None
