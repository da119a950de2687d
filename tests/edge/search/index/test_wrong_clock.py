"""A wrong clock costs no segment, and a right one removes what is too old."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.search.index.format import Entry
from edge.search.index.store import Limits, Store
from edge.system.steady_clock import SteadyClock

DAY = 86_400.0
YEAR = 365 * DAY
MONTH = Limits(max_age_s=30 * DAY, max_bytes=10**9)
SETTLE_S = 3600.0


@dataclass
class Box:
    """Its clocks, which the test sets. Files get the time of the machine, so it begins there."""

    wall: float
    monotonic: float = 1000.0
    synced: bool | None = None

    def clock(self) -> SteadyClock:
        return SteadyClock(
            SETTLE_S,
            wall=lambda: self.wall,
            monotonic=lambda: self.monotonic,
            synced=lambda: self.synced,
        )

    def wait(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


@pytest.fixture
def box() -> Box:
    return Box(time.time())


@pytest.fixture
def make(tmp_path: Path, box: Box, make_store: Callable[..., Store]) -> Callable[..., Store]:
    return lambda limits=MONTH, model="m": make_store(
        tmp_path, limits, model, lambda: box.monotonic
    )


@pytest.fixture
def earlier(
    tmp_path: Path, box: Box, make: Callable[..., Store], entries: Callable[..., list[Entry]]
) -> None:
    """What earlier runs left of two cameras: segments of 20, 15, 10 and 5 days ago."""
    store = make()
    for camera in ("yard", "gone"):
        for _ in range(4):
            store.append(camera, entries(64))
    store.close()
    for path in tmp_path.glob("m/*/*"):
        written = box.wall - 5 * DAY * (4 - int(path.name))
        os.utime(path / "rows", (written, written))


def held(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.glob("*/*/*")}


@pytest.mark.usefixtures("earlier")
@pytest.mark.parametrize("jump", [YEAR, 3600.0])
@pytest.mark.parametrize("lasts", [9.0, SETTLE_S - 60])
def test_a_clock_that_was_ahead_for_a_while_removes_nothing(
    tmp_path: Path,
    box: Box,
    make: Callable[..., Store],
    entries: Callable[..., list[Entry]],
    jump: float,
    lasts: float,
) -> None:
    before, store, clock = held(tmp_path), make(), box.clock()
    box.wait(2 * SETTLE_S)
    store.expire(clock())
    box.wall += jump
    for _ in range(10):
        store.append("yard", entries(1))
        store.expire(clock())
        box.wait(lasts / 10)
    box.wall -= jump
    for _ in range(10):
        store.expire(clock())
        box.wait(SETTLE_S / 5)
    assert before <= held(tmp_path)


@pytest.mark.usefixtures("earlier")
def test_without_the_clock_that_waits_the_same_jump_would_remove_all(
    tmp_path: Path, box: Box, make: Callable[..., Store], entries: Callable[..., list[Entry]]
) -> None:
    store = make()
    store.append("new", entries(1))
    store.expire(box.wall + YEAR)
    assert held(tmp_path) == {"m/new/00000000"}


@pytest.mark.usefixtures("earlier")
@pytest.mark.parametrize("jump", [-YEAR, -3600.0, -50 * YEAR])
def test_a_clock_that_was_behind_removes_nothing_of_then_once_it_is_set(
    tmp_path: Path,
    box: Box,
    make: Callable[..., Store],
    entries: Callable[..., list[Entry]],
    jump: float,
) -> None:
    box.wall += jump
    before, store, clock = held(tmp_path), make(), box.clock()
    store.append("yard", entries(64))
    store.append("new", entries(5))
    for _ in range(10):
        box.wait(60)
        store.expire(clock())
    box.wall -= jump
    for _ in range(10):
        box.wait(SETTLE_S / 5)
        store.expire(clock())
    assert held(tmp_path) == before | {"m/yard/00000004", "m/new/00000000"}


@pytest.mark.usefixtures("earlier")
@pytest.mark.parametrize("jump", [-YEAR, -50 * YEAR, YEAR])
def test_what_was_written_under_a_wrong_clock_before_a_restart_stays_its_time_and_no_longer(
    tmp_path: Path,
    box: Box,
    make: Callable[..., Store],
    entries: Callable[..., list[Entry]],
    jump: float,
) -> None:
    store = make()
    store.append("yard", entries(64))
    store.close()
    wrong = tmp_path / "m" / "yard" / "00000004"
    written = max(0.0, box.wall + jump)
    os.utime(wrong / "rows", (written, written))
    clock = box.clock()
    box.wait(2 * SETTLE_S)
    store = make()
    store.expire(clock())
    assert wrong.exists()
    for _ in range(2):  # and after one more restart it is still as old as it is
        store.close()
        box.wait(20 * DAY)
        store, clock = make(), box.clock()
        box.wait(SETTLE_S)
        store.expire(clock())
    assert held(tmp_path) == set()


@pytest.mark.usefixtures("earlier")
def test_old_segments_go_under_a_right_clock_also_of_cameras_and_models_that_are_gone(
    tmp_path: Path, box: Box, make: Callable[..., Store], entries: Callable[..., list[Entry]]
) -> None:
    clock = box.clock()
    box.wait(18 * DAY)
    store = make(model="next")
    store.append("yard", entries(5))
    store.expire(clock())
    assert held(tmp_path) == {"next/yard/00000000"} | {
        f"m/{camera}/0000000{number}" for camera in ("yard", "gone") for number in (2, 3)
    }


@pytest.mark.usefixtures("earlier")
def test_nothing_goes_for_its_age_while_the_clock_is_not_synchronised(
    tmp_path: Path, box: Box, make: Callable[..., Store]
) -> None:
    before, store, clock = held(tmp_path), make(), box.clock()
    box.synced = False
    box.wait(40 * DAY)
    store.expire(clock())
    assert held(tmp_path) == before
    box.synced = True
    store.expire(clock())
    assert held(tmp_path) == set()


@pytest.mark.usefixtures("earlier")
@pytest.mark.parametrize("wrong", [YEAR, -YEAR, -50 * YEAR])
def test_a_clock_that_is_wrong_from_boot_on_and_set_days_later_removes_nothing(
    tmp_path: Path,
    box: Box,
    make: Callable[..., Store],
    entries: Callable[..., list[Entry]],
    wrong: float,
) -> None:
    before = held(tmp_path)
    box.wall += wrong
    box.synced = False
    store, clock = make(), box.clock()
    store.append("new", entries(5))
    for _ in range(30):  # longer than the clock needs to settle
        box.wait(DAY / 10)
        store.expire(clock())
    assert held(tmp_path) == before | {"m/new/00000000"}
    box.wall -= wrong
    box.synced = True
    for _ in range(10):
        store.expire(clock())
        box.wait(SETTLE_S / 5)
    assert held(tmp_path) == before | {"m/new/00000000"}


@pytest.mark.usefixtures("earlier")
def test_a_wrong_clock_of_which_nobody_knows_that_it_is_not_set_would_remove_all(
    tmp_path: Path, box: Box, make: Callable[..., Store]
) -> None:
    """Negative control: why the kernel is asked where there is no systemd-timesyncd."""
    box.wall += YEAR
    store, clock = make(), box.clock()
    box.wait(2 * SETTLE_S)
    store.expire(clock())
    assert held(tmp_path) == set()


@pytest.mark.usefixtures("earlier")
def test_for_the_size_the_oldest_go_first_whatever_the_clock_says(
    tmp_path: Path, box: Box, make: Callable[..., Store], entries: Callable[..., list[Entry]]
) -> None:
    box.wall = 60.0
    clock, most = box.clock(), make().size
    store = make(Limits(30 * DAY, most))
    for _ in range(2):
        store.append("yard", entries(64))
        box.wait(5)
        store.expire(clock())
    left = {path.name for path in tmp_path.glob("m/yard/*")}
    assert {"00000003", "00000004", "00000005"} <= left
    assert len(held(tmp_path)) < 10
    assert store.size <= most


def test_a_steady_clock_tells_jumps_from_corrections(
    box: Box, caplog: pytest.LogCaptureFixture
) -> None:
    clock = box.clock()
    assert clock() is None
    for _ in range(60):
        box.wait(60)
        box.wall += 1.0  # a correction
        clock()
    assert clock() == box.wall
    box.wall -= 3600
    assert clock() is None
    assert "the clock jumped by -3600 s" in caplog.text
    box.wait(SETTLE_S)
    assert clock() == box.wall
