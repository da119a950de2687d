"""The whole daemon while the box's clock jumps: by a year, by an hour, to 1970, and back."""

import json
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from edge.testing import TestCamera
from edge.testing.synthetic import write_clip

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
YEAR, HOUR = 365 * 86_400, 3600
BURST = {"text": "anything", "negatives": "something quite different", "threshold": -2,
         "on": {"for": 1, "of": 1}, "update_every": "50ms"}  # fmt: skip


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
IN_1970 = 60 - time.time()
JUMPS = [0, YEAR, 0, -YEAR, 0, HOUR, 0, -HOUR, 0, IN_1970, 0]


@pytest.mark.parametrize("jumps", [JUMPS, [IN_1970, 0]], ids=["jumps", "starts in 1970"])
def test_whatever_the_clock_does_cameras_alerts_and_index_go_on(
    clock: Clock,
    small_bundle: Path,
    tmp_path: Path,
    run_daemon: Callable[..., Any],
    broker: Any,
    listen: Callable[..., Any],
    eventually: Callable[..., Any],
    alerts_of: Callable[..., Any],
    jumps: list[float],
) -> None:
    clock.set(jumps[0])
    listener = listen(broker.port)
    clip = write_clip(tmp_path / "moving.mp4", fps=10, seconds=3)

    def ahead(alert: dict[str, Any]) -> float:
        return datetime.fromisoformat(alert["at"]).timestamp() - time.time()

    def indexed() -> int:
        rows = (tmp_path / "state" / "index").rglob("rows")
        return sum(file.stat().st_size for file in rows)

    with TestCamera({"yard": clip}) as camera:
        daemon = run_daemon(
            clock.environment,
            bundle=str(small_bundle),
            mqtt={"host": "127.0.0.1", "port": broker.port, "keepalive": 5},
            prompts={"burst": BURST},
            index={"enabled": True, "max_age": "1h"},
            cameras={"yard": {"url": camera.url("yard"), "sample": {"fps": 10}}},
        )
        eventually(lambda: alerts_of(listener), "alerts")
        kept = 0
        for jump in jumps:
            clock.set(jump)
            came = len(alerts_of(listener))
            eventually(
                lambda s=came, j=jump: any(
                    abs(ahead(alert) - j) < 100 for alert in alerts_of(listener)[s:]
                ),
                f"an alert whose clock is {jump:.0f} s ahead",
            )
            assert indexed() >= kept
            kept = indexed()
        eventually(lambda: indexed() > kept, "rows of the index")

        def states() -> Any:
            return [json.loads(payload) for payload in listener.payloads("/yard/state")]

        assert daemon.terminate() == 0
    assert {state["reconnects"] for state in states()} == {0}
    assert {state["error"] for state in states()} == {None}
    alerts = alerts_of(listener)
    assert all("clock_synced" in alert for alert in alerts)
    ids = list(dict.fromkeys(alert["id"] for alert in alerts))
    assert ids == sorted(ids)
