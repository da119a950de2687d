"""Counts events over the last seconds. Pure: each call gives the time."""

from collections import deque


class RateMeter:
    """Rate of events over a window, per second.

    Args:
        window_s: Length of the window, seconds.
    """

    def __init__(self, window_s: float = 5.0) -> None:
        self._window_s = window_s
        self._times: deque[float] = deque()
        self._first = self._last = float("-inf")

    def add(self, now: float, times: int = 1) -> None:
        """Record ``times`` events at ``now`` (monotonic seconds)."""
        if not times:
            return
        if self._first < 0:
            self._first = now
        self._last = now
        self._times.extend([now] * times)
        self._forget(now)

    def silence_s(self, now: float) -> float:
        """Return the seconds since the last event."""
        return now - self._last

    def per_second(self, now: float) -> float:
        self._forget(now)
        # A young rate is divided by its age, but by at least one second.
        return len(self._times) / min(self._window_s, max(1.0, now - self._first))

    def _forget(self, now: float) -> None:
        while self._times and self._times[0] < now - self._window_s:
            self._times.popleft()
