"""Defines the frozen records that the stages pass on: the arrival and the sample."""

import time
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Arrival:
    """Time at which a packet came in, taken before any other code handles the packet.

    Attributes:
        wall: UTC seconds since the epoch (``time.time``), for people and payloads.
        monotonic: Seconds of ``time.monotonic``, for arithmetic.
        pts_s: Presentation time within the stream in seconds, or None where the stream has none.
            Only its order is of use: the times of cameras jump and repeat.
    """

    wall: float
    monotonic: float
    pts_s: float | None

    @classmethod
    def now(cls) -> Self:
        """Return the present time."""
        return cls(time.time(), time.monotonic(), None)


@dataclass(frozen=True, slots=True)
class Sample:
    """One frame chosen for embedding, ready for the engine. Plain data, fit for other processes.

    Attributes:
        camera: Camera name from the configuration.
        sequence: Number of the sample of this camera since start, from 0.
        arrival: Arrival of the frame's packet.
        pixels: int8 [3, H, W], RGB planes, ``u8 ^ 0x80`` (see ``edge.video.preprocess``).
        size: Height and width of the original frame; None where nobody needs it.
        clip_pixels: Pixels of the frame for a clip model, int8 [3, H', W']; None without one.
        heartbeat: Whether the frame was chosen only because none had been for long: the packets say
            that nothing moves. Such samples are ``sample.idle`` a second instead of ``sample.fps``.
        after_break: Whether the stream was interrupted between the sample before and this one.
    """

    camera: str
    sequence: int
    arrival: Arrival
    pixels: NDArray[np.int8]
    size: tuple[int, int] | None = None
    clip_pixels: NDArray[np.int8] | None = None
    heartbeat: bool = False
    after_break: bool = False
