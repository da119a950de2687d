"""Decides when a camera's process has gone wrong, and when the next one begins. Pure."""

import math
from random import Random
from typing import Final

from edge.config.models import CameraConfig
from edge.system.backoff import CAMERA, Backoff
from edge.video.process.limits import ProcessLimits
from edge.video.worker import Step

# After a process that gave samples; what ends it comes with the video or from outside.
_SOON: Final = Backoff(first_s=0.5, cap_s=1.5, shortest_share=0.5)
# Samples in a row after which what was is forgotten.
_SOUND_S: Final = 30.0
# FFmpeg opens in two steps of one timeout each; then the camera is asked what was wrong.
_OPENINGS, _OPENING_S = 4.0, 5.0
# A read lasts half a timeout, and silence is noticed with the second one.
_READS, _READING_S = 2.0, 2.0
# A recording may have this much time between two pictures.
_RECORDING_S: Final = 120.0


class Fate:
    """Judges the processes of one camera.

    Args:
        config: Settings of the camera.
        live: Whether it is a camera, and no recording.
        limits: What a process may take.
        rng: Makes the jitter.
    """

    def __init__(
        self, config: CameraConfig, *, live: bool, limits: ProcessLimits, rng: Random
    ) -> None:
        reading_s = _READS * config.timeout + _READING_S if live else _RECORDING_S
        # A driver may take seconds for the first device, and more where all cameras begin.
        self._opening_s = 0.0 if config.decode == "cpu" else limits.opening_s
        self._longest_s: dict[Step, float] = {
            "begin": max(limits.decode_s, self._opening_s),
            "connect": _OPENINGS * config.timeout + _OPENING_S,
            "read": reading_s,
            "decode": limits.decode_s,
        }
        self._limits = limits
        self._rng = rng
        self._failures = 0

    def wrong(
        self, step: Step, step_s: float, silent_s: float, memory_bytes: int, threads: int
    ) -> str | None:
        """Return what is wrong with a process that runs; None where nothing is.

        Args:
            step: What its loop does.
            step_s: Seconds for which it does that.
            silent_s: Seconds since its last record.
            memory_bytes: Memory that it has for itself.
            threads: Threads that it has.
        """
        opening_s = self._opening_s if step == "begin" else 0.0
        if silent_s >= max(self._limits.silence_s, opening_s):
            return f"was silent for {silent_s:.1f} s"
        if step_s > self._longest_s.get(step, math.inf):
            return f"did not come back from '{step}' for {step_s:.1f} s"
        if memory_bytes > self._limits.memory_bytes:
            return f"took {memory_bytes / 1e6:.0f} MB of memory"
        if threads > self._limits.threads:
            return f"has {threads} threads, more than {self._limits.threads}"
        return None

    def delay_s(self, lived_s: float, samples: int) -> float:
        """Return how long to wait after a process has ended, in seconds.

        Args:
            lived_s: Seconds for which it ran.
            samples: Samples that it gave.
        """
        if samples and lived_s >= _SOUND_S:
            self._failures = 0
        self._failures += 1
        backoff = _SOON if samples else CAMERA.unreachable
        return backoff.delay_s(self._failures, self._rng)
