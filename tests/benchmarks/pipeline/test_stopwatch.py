"""Laps by a clock that ticks only when the test says so."""

import pytest

from benchmarks.pipeline.stopwatch import Lap, Stopwatch

MS = 1_000_000


class Clocks:
    """Wall and core time, in nanoseconds."""

    def __init__(self) -> None:
        self.wall_ns = self.core_ns = 0

    def wall(self) -> int:
        return self.wall_ns

    def core(self) -> int:
        return self.core_ns

    def work(self, wall_ms: int, core_ms: int) -> None:
        self.wall_ns += wall_ms * MS
        self.core_ns += core_ms * MS


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def test_an_inner_stage_does_not_count_for_the_outer_one(clocks: Clocks) -> None:
    watch = Stopwatch(clocks.wall)
    with watch.stage("decode", clocks.core):
        clocks.work(1, 1)
        for _ in range(2):
            with watch.stage("demux", clocks.core):
                clocks.work(10, 2)
        clocks.work(4, 3)
    watch.end_frame()
    assert watch.frames == [{"demux": Lap(20, 4), "decode": Lap(5, 4)}]


def test_each_frame_has_its_own_laps(clocks: Clocks) -> None:
    watch = Stopwatch(clocks.wall)
    for wall_ms in (3, 5):
        with watch.stage("engine", clocks.core):
            clocks.work(wall_ms, 1)
        clocks.work(100, 100)  # between the stages: nobody's
        watch.end_frame()
    assert watch.frames == [{"engine": Lap(3, 1)}, {"engine": Lap(5, 1)}]


def test_a_stage_that_fails_is_timed_and_lets_the_error_through(clocks: Clocks) -> None:
    watch = Stopwatch(clocks.wall)

    def fail() -> None:
        with watch.stage("engine", clocks.core):
            clocks.work(2, 1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with watch.stage("outbox", clocks.core):
        clocks.work(1, 1)
    watch.end_frame()
    assert watch.frames == [{"engine": Lap(2, 1), "outbox": Lap(1, 1)}]
