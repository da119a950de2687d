"""Keeps the health of one camera over all its processes."""

import math
import re
import time
from dataclasses import replace
from typing import Final

from edge.system.redact import redact
from edge.system.visible import printable
from edge.video.process.records import Healthy
from edge.video.sample import Sample
from edge.video.worker import CameraHealth, State

_AGAIN_S: Final = 300.0
_FIGURE: Final = re.compile(r"\d[\d.]*")


class HealthAccount:
    """Health of a camera: what its process tells, and what the daemon knows itself.

    Args:
        before: Health at the beginning.
        again_s: Seconds until a reason is worth a line of the log again.

    Attributes:
        replaced: Samples that were replaced by newer ones before they were taken.
        trouble: Why the last process ended; None once the next one has something to say.
    """

    def __init__(self, before: CameraHealth, again_s: float = _AGAIN_S) -> None:
        self._health = before
        self._again_s = again_s
        self._said_at: dict[str, float] = {}  # kind of reason -> time.monotonic()
        self.replaced = 0
        self.trouble: str | None = None

    @property
    def told(self) -> CameraHealth:
        """What the next process goes on from."""
        return self._health

    @property
    def health(self) -> CameraHealth:
        """The health to show."""
        health = replace(self._health, dropped=self._health.dropped + self.replaced)
        if self.trouble is None:
            return health
        return replace(health, state="failed", error=self.trouble)

    def sampled(self, sample: Sample) -> None:
        """Take note of a sample."""
        self.trouble = None
        self._health = replace(
            self._health, samples=sample.sequence + 1, last_arrival=sample.arrival.wall
        )

    def heard(self, record: Healthy) -> None:
        """Take over what the process says of itself."""
        last = self._health.last_arrival
        if record.arrived_s is not None:
            last = time.time() - record.arrived_s
        told = record.health(last)
        error = None if told.error is None else redact(printable(told.error))
        samples = max(told.samples, self._health.samples)
        self._health = replace(told, samples=samples, error=error)
        if told.state not in {"connecting", "streaming"}:
            self.trouble = None

    def ended(self, state: State) -> None:
        """Take note that there will be no further process."""
        self.trouble = None
        self._quiet(state)

    def parted(self) -> None:
        """Take note that a process has ended as it should, and that another follows."""
        self._quiet(self._health.state)

    def failed(self, reason: str) -> bool:
        """Take note that a process has ended; return whether the log has not said so lately.

        Reasons that differ in figures alone are one.
        """
        self.trouble = reason
        self._quiet("failed")
        kind, now = _FIGURE.sub("", reason), time.monotonic()
        lately = now - self._said_at.get(kind, -math.inf) < self._again_s
        if not lately:
            self._said_at[kind] = now
        return not lately

    def _quiet(self, state: State) -> None:
        self._health = replace(self._health, state=state, fps_in=0.0, fps_sampled=0.0)
