"""When to try a camera again: capped exponential back-off with jitter. Pure but for the rng."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from edge.errors import SourceError, SourceRefused

# Jitter: cameras that went down with their switch must not come back in step.
_SHORTEST_SHARE = 0.8
# A stream that ran this long was healthy: its next failure starts from the shortest delay.
HEALTHY_S = 30.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """Delays from ``first_s``, doubling up to ``cap_s``."""

    first_s: float
    cap_s: float


UNREACHABLE = Schedule(first_s=1.0, cap_s=30.0)
# Many cameras lock an account after five wrong passwords within minutes.
REFUSED = Schedule(first_s=30.0, cap_s=300.0)


def delays(schedule: Schedule, rng: Random) -> Iterator[float]:
    """Yield for ever: seconds to wait, each shortened by up to a fifth at random."""
    delay_s = schedule.first_s
    while True:
        yield delay_s * rng.uniform(_SHORTEST_SHARE, 1.0)
        delay_s = min(2 * delay_s, schedule.cap_s)


class Retry:
    """Chooses the delay after each failure of one camera."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._schedule = UNREACHABLE
        self._delays = delays(UNREACHABLE, rng)

    def delay_s(self, error: SourceError, *, streamed_s: float) -> float:
        """Return how long to wait.

        Args:
            error: Why the stream failed.
            streamed_s: How long frames had been coming before.
        """
        schedule = REFUSED if isinstance(error, SourceRefused) else UNREACHABLE
        if schedule != self._schedule or streamed_s >= HEALTHY_S:
            self._schedule = schedule
            self._delays = delays(schedule, self._rng)
        return next(self._delays)
