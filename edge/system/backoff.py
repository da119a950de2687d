"""Decides when to try a camera or the broker again: capped exponential back-off with jitter.

Pure, but for the random numbers.
"""

from dataclasses import dataclass
from random import Random

from edge.errors import SourceRefused

# A stream that ran this long was healthy: its next failure starts from the shortest delay.
HEALTHY_S = 30.0
# Pause after an attempt that took as long as the delay.
SHORTEST_S = 1.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays before each new try, which double.

    Attributes:
        first_s: Longest delay after the first failure, seconds.
        cap_s: Longest delay after any failure, seconds.
        shortest_share: Share of the longest delay, 0..1, that is waited at least. Below 1 there is
            jitter: devices that went down together must not come back in step.
    """

    first_s: float
    cap_s: float
    shortest_share: float

    def delay_s(self, failures: int, rng: Random) -> float:
        """Return the seconds to wait after ``failures`` in a row, at least 1."""
        longest_s = min(self.first_s * 2.0 ** min(failures - 1, 16), self.cap_s)
        return longest_s * rng.uniform(self.shortest_share, 1.0)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Delays by the kind of failure.

    Attributes:
        unreachable: Delays where nobody answered, or a connection broke.
        refused: Delays where the other side said no.
    """

    unreachable: Backoff
    refused: Backoff


CAMERA = RetryPolicy(
    # One attempt in ten seconds burdens no camera, and nothing is seen while we wait. The tenth
    # second is for the attempt that succeeds.
    unreachable=Backoff(first_s=1.0, cap_s=9.0, shortest_share=0.8),
    # Many cameras lock an account after five wrong passwords within minutes.
    refused=Backoff(first_s=30.0, cap_s=300.0, shortest_share=0.8),
)
BROKER = RetryPolicy(
    unreachable=Backoff(first_s=0.5, cap_s=30.0, shortest_share=0.5),
    refused=Backoff(first_s=60.0, cap_s=60.0, shortest_share=1.0),
)
WORKER = Backoff(first_s=1.0, cap_s=60.0, shortest_share=1.0)
"""Delays before a thread of ours that an error has ended begins again."""


class CameraRetry:
    """Chooses the delay after each failure of one camera."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._backoff = CAMERA.unreachable
        self._failures = 0

    def delay_s(self, error: Exception, *, streamed_s: float, tried_s: float = 0.0) -> float:
        """Return how long to wait, in seconds. Delays are from attempt to attempt.

        Args:
            error: Why the stream failed.
            streamed_s: How long frames had been coming before.
            tried_s: How long the attempt took where no frame came.
        """
        backoff = CAMERA.refused if isinstance(error, SourceRefused) else CAMERA.unreachable
        if backoff != self._backoff or streamed_s >= HEALTHY_S:
            self._backoff = backoff
            self._failures = 0
        self._failures += 1
        delay_s = self._backoff.delay_s(self._failures, self._rng)
        return max(delay_s - tried_s, min(delay_s, SHORTEST_S))
