"""The whole daemon while the box's clock jumps: by a year, by an hour, to 1970, and back."""

from datetime import datetime
from functools import partial
from pathlib import Path
from time import time as now

import pytest
from running_box import Box

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
YEAR, HOUR = 365 * 86_400, 3600


class Clock:
    """The wall clock of a process, which the test sets; its monotonic clock goes on."""

    def __init__(self, file: Path, library: Path) -> None:
        self._file = file
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        self.set(0)

    def set(self, ahead_s: float) -> None:
        """Let the clock be ahead of the real one, or behind it."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{ahead_s:+.0f}\n")
        new.replace(self._file)  # it is read at any time


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    if not LIBRARIES:
        pytest.skip("libfaketime is not installed (Debian: faketime)")
    return Clock(tmp_path / "clock", LIBRARIES[0])


# A year ahead, behind; an hour ahead, behind; 1970; each time back. And a box that starts in 1970.
IN_1970 = 60 - now()
JUMPS = [0, YEAR, 0, -YEAR, 0, HOUR, 0, -HOUR, 0, IN_1970, 0]


@pytest.mark.parametrize("jumps", [JUMPS, [IN_1970, 0]], ids=["jumps", "starts in 1970"])
def test_whatever_the_clock_does_cameras_alerts_and_index_go_on(
    clock: Clock, box: Box, jumps: list[float]
) -> None:
    clock.set(jumps[0])

    def is_told(since: int, ahead_s: float) -> bool:
        times = (datetime.fromisoformat(alert["at"]) for alert in box.alerts()[since:])
        return any(abs(time.timestamp() - now() - ahead_s) < 100 for time in times)

    def indexed() -> int:
        return sum(file.stat().st_size for file in (box.state_dir / "index").rglob("rows"))

    daemon = box.start(
        clock.environment,
        index={"enabled": True, "max_age": "1h"},
        cameras={"yard": box.watched(timeout="5s")},
    )
    box.eventually(box.alerts, "alerts")
    kept = 0
    for jump in jumps:
        clock.set(jump)
        wanted = partial(is_told, len(box.alerts()), jump)
        box.eventually(wanted, f"an alert whose clock is {jump:.0f} s ahead")
        assert indexed() >= kept
        kept = indexed()
    box.eventually(lambda: indexed() > kept, "rows of the index")
    assert daemon.terminate() == 0
    states = box.states("yard/state")
    assert {state["reconnects"] for state in states} == {0}
    assert {state["error"] for state in states} == {None}
    alerts = box.alerts()
    assert all("clock_synced" in alert for alert in alerts)
    ids = list(dict.fromkeys(alert["id"] for alert in alerts))
    assert ids == sorted(ids)
