"""Notices that a camera gives far fewer samples than wanted. Pure: each call gives the time.

A damaged line, a starved encoder and a device that cannot keep up look alike from outside: packets
come, the stream is open, and hardly anything is watched.
"""

from typing import Final

from edge.video.rate import RateMeter

# Shares of the wanted rate. Below the first the camera is in trouble, until it is above the second.
# A camera that sends one picture a second where two are wanted is slow, not in trouble.
_TROUBLED: Final = 0.3
_RECOVERED: Final = 0.5
# Seconds judged together: longer than the ten seconds between keyframes of a "smart" codec.
SHORTEST_S: Final = 12.0
# Number of wanted samples that are judged together, at least.
_SAMPLES: Final = 10
# Heartbeats that may fail in a row.
_HEARTBEATS: Final = 3


class Shortfall:
    """Compares the samples of one stream with those wanted, since its first sample.

    Args:
        wanted_fps: Samples per second wanted.
        now: Time of the first sample, monotonic seconds.
        shortest_s: Seconds judged together, at least.
        idle_fps: Samples per second wanted while nothing moves.

    Attributes:
        reason: Why hardly any samples come, and what to do; None while enough come.
    """

    def __init__(
        self,
        wanted_fps: float,
        now: float,
        shortest_s: float = SHORTEST_S,
        idle_fps: float = 0.1,
    ) -> None:
        self.reason: str | None = None
        self._wanted_fps = wanted_fps
        self._began = self._sampled_at = now
        self._heartbeat_s = 1 / min(idle_fps, wanted_fps)
        self._window_s = max(shortest_s, _SAMPLES / wanted_fps)
        self._samples, self._pictures, self._damaged = (RateMeter(self._window_s) for _ in range(3))

    def sampled(self, now: float) -> None:
        """Record a sample."""
        self._sampled_at = now
        self._samples.add(now)

    def idle(self, now: float) -> None:
        """Record that only heartbeats are wanted at present: what came so far is judged no more.

        That holds for as long as they come.
        """
        self._began, silent_s = now, now - self._sampled_at
        if silent_s <= self._heartbeat_s:
            self.reason = None
        elif self.reason is None and silent_s > max(
            self._window_s, _HEARTBEATS * self._heartbeat_s
        ):
            self.reason = (
                f"no picture could be decoded for {silent_s:.0f} s, though nothing moves: check"
                " the cable or the radio link, and use transport: tcp"
            )

    def arrived(self, now: float, damaged: int) -> None:
        """Record a packet, and how many packets and frames were left out as damaged with it."""
        self._pictures.add(now)
        self._damaged.add(now, damaged)
        if now - self._began < self._window_s:
            return
        sampled = self._samples.per_second(now)
        if sampled >= _RECOVERED * self._wanted_fps:
            self.reason = None
        elif self.reason is None and sampled < _TROUBLED * self._wanted_fps:
            self.reason = self._why(now, sampled)

    def _why(self, now: float, sampled: float) -> str:
        pictures, damaged = self._pictures.per_second(now), self._damaged.per_second(now)
        few = f"only {sampled:.2g} of {self._wanted_fps:g} samples a second come"
        if damaged >= pictures / 2:
            return (
                f"{few}: {damaged:.2g} packets or frames a second are damaged, of {pictures:.2g};"
                " check the cable or the radio link, and use transport: tcp"
            )
        if pictures < _RECOVERED * self._wanted_fps:
            return (
                f"{few}: the camera sends {pictures:.2g} pictures a second; raise its frame rate,"
                " or lower sample.fps"
            )
        return (
            f"{few}, of {pictures:.2g} pictures a second: set the camera's I-frame interval to 2 s,"
            " give its substream, and see whether this device is overloaded"
        )
