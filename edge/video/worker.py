"""Defines what samples a camera: a worker with plain data at its methods, and its health.

Its methods take and return plain data, because the camera is sampled in a process of its own
(``edge.video.process``).
"""

from dataclasses import dataclass
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.model.bundle.manifest import ImageSpec
from edge.video.activity.health import GATE_OFF, GateHealth
from edge.video.sample import Sample

Edges = tuple[float, float, float, float]
"""Left, top, right, bottom of a box, in 0..1 of the upright picture."""

State = Literal[
    "connecting",
    "streaming",
    "degraded",
    "frozen",
    "stalled",
    "retrying",
    "refused",
    "ended",
    "stopped",
    "failed",
]


Step = Literal["begin", "connect", "read", "decode", "wait", "end"]
"""What the loop of a camera is doing."""


@dataclass(frozen=True, slots=True)
class CameraHealth:
    """Health of a camera.

    Attributes:
        state: ``degraded``: streaming, but hardly any samples come; ``frozen``: streaming the same
            picture for long, of which no samples are made; ``stalled``: connected, but silent for
            more than half the timeout; ``retrying`` and ``refused``: waiting to connect again;
            ``ended``: the file is over; ``failed``: an error that nobody expected ended the attempt
            (its traceback is in the log), and the camera is tried again.
        fps_in: Pictures received per second, over the last five seconds.
        fps_sampled: Samples per second, over the last five seconds.
        samples: Samples made since start.
        dropped: Samples replaced by a newer one before they were taken.
        corrupt: Packets and frames left out as damaged.
        reconnects: Number of times the stream came back after a failure.
        last_arrival: UTC seconds of the last packet, or None before the first.
        error: Current failure, without credentials, or None.
        gate: Health of its activity gate.
    """

    state: State
    fps_in: float
    fps_sampled: float
    samples: int
    dropped: int
    corrupt: int
    reconnects: int
    last_arrival: float | None
    error: str | None
    gate: GateHealth = GATE_OFF


BEGINNING: Final = CameraHealth("connecting", 0.0, 0.0, 0, 0, 0, 0, None, None)
"""Health of a camera that nobody has watched yet."""


class CameraWorker(Protocol):
    """Worker that samples one camera.

    Attributes:
        name: Name of the camera in the configuration.
    """

    name: str

    @property
    def failed(self) -> bool:
        """Whether an unexpected error has ended the camera for good."""
        ...

    def start(self) -> None:
        """Begin; returns at once."""
        ...

    def take(self) -> Sample | None:
        """Return the newest sample once; None if there is no new one.

        Its pixels are valid until the next call of ``take`` for this camera: copy what is kept.
        """
        ...

    def health(self) -> CameraHealth:
        """Return the camera's current health."""
        ...

    def snapshot(self, sequence: int, max_width: int | None = None) -> bytes | None:
        """Return the JPEG of a sample's frame; None if the frame is gone or snapshots are off.

        The frames of the last taken sample and of the newest one are held, in the camera's process.
        ``max_width`` replaces the value of the configuration.
        """
        ...

    def pixels(
        self, sequence: int, spec: ImageSpec, box: Edges | None = None
    ) -> NDArray[np.int8] | None:
        """Return pixels of a sample's frame as another model takes them; None if it is gone.

        Args:
            sequence: Number of the sample, of which the same frames are held as for ``snapshot``.
            spec: Size and resize rule of the pixels.
            box: Part of the picture, to which a tenth is added on each side; None for the whole.
        """
        ...

    def stop(self, timeout_s: float) -> bool:
        """Ask the camera to end, wait up to ``timeout_s``, and return whether it has ended."""
        ...
