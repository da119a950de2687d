"""Measures the time of each stage per frame, on the wall and on a core."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

Clock = Callable[[], int]
"""Function that returns nanoseconds."""

_NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True)
class Lap:
    """Time of one stage for one frame, in milliseconds."""

    wall_ms: float
    core_ms: float


class Stopwatch:
    """Stopwatch for the stages of one frame after the other. Only one thread may use it.

    A stage may run several times in a frame; its times are added. The time of an inner stage does
    not count for the outer one.

    Args:
        wall: Clock of the wall time.

    Attributes:
        frames: Laps by stage, one record for each finished frame.
    """

    def __init__(self, wall: Clock = time.perf_counter_ns) -> None:
        self._clock = wall
        self.frames: list[dict[str, Lap]] = []
        self._wall: dict[str, int] = defaultdict(int)
        self._core: dict[str, int] = defaultdict(int)
        self._inner_wall = self._inner_core = 0

    @contextmanager
    def stage(self, name: str, core: Clock = time.thread_time_ns) -> Iterator[None]:
        """Time the body of the ``with`` statement.

        Args:
            name: Name of the stage.
            core: Clock of the core time; ``time.process_time_ns`` if other threads do the work.
        """
        outside_wall, outside_core = self._inner_wall, self._inner_core
        self._inner_wall = self._inner_core = 0
        core_from, wall_from = core(), self._clock()
        try:
            yield
        finally:
            wall, used = self._clock() - wall_from, core() - core_from
            self._wall[name] += wall - self._inner_wall
            self._core[name] += used - self._inner_core
            self._inner_wall, self._inner_core = outside_wall + wall, outside_core + used

    def end_frame(self) -> None:
        """End the frame; later stages belong to the next one."""
        self.frames.append(
            {
                name: Lap(wall / _NS_PER_MS, self._core[name] / _NS_PER_MS)
                for name, wall in self._wall.items()
            }
        )
        self._wall.clear()
        self._core.clear()
