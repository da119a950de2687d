"""What stands beside the outbox in ``state_dir`` costs only itself, in the daemon as it runs."""

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.alerts.calibration_file import CalibrationFile
from edge.alerts.messages import StartedAlert
from edge.control.learning.feedback import FeedbackFile
from edge.testing.synthetic import write_clip

# Rules that begin an alert with the first sample of a camera.
RULES = {
    f"rule{number}": {
        "text": f"anything {number}",
        "negatives": "something quite different",
        "threshold": -2,
        "on": {"for": 1, "of": 1},
        "update_every": 0,
    }
    for number in range(4)
}
ENTRY = ("gone", "rule", "")


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "moving.mp4"
    return write_clip(path, width=320, height=240, fps=10, seconds=3, gop=10)


@contextlib.contextmanager
def locked(*paths: Path) -> Iterator[None]:
    """Hold files as another process does that copies them."""
    with contextlib.ExitStack() as stack:
        for path in paths:
            db = sqlite3.connect(path, isolation_level=None)
            stack.enter_context(contextlib.closing(db)).execute("BEGIN EXCLUSIVE")
        yield


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """A folder with something in each of its side files."""
    folder = tmp_path / "state"
    feedback = FeedbackFile(folder / "feedback.db", "model")
    feedback.expect(StartedAlert("01JX7ZK4Q8V5R2M9T6B3N0C1DE", "gone", "rule", (), {}, None, None))
    feedback.flush()
    learned = CalibrationFile(folder / "learned.db")
    learned.save({ENTRY: ("key", b"data")})
    learned.flush()
    return folder


def test_files_that_another_process_holds_delay_no_alert_and_lose_nothing(
    small_bundle: Path,
    clip: Path,
    state_dir: Path,
    run_daemon: Callable[..., Any],
    broker: Any,
    listen: Callable[..., Any],
    eventually: Callable[..., Any],
    alerts_of: Callable[..., Any],
) -> None:
    feedback, learned = state_dir / "feedback.db", state_dir / "learned.db"
    listener = listen(broker.port)

    def errors() -> dict[str, str]:
        states = [json.loads(payload) for payload in listener.payloads("/box/state")]
        found: dict[str, str] = states[-1]["errors"] if states else {}
        return found

    with locked(feedback, learned):
        daemon = run_daemon(
            bundle=str(small_bundle),
            mqtt={"host": "127.0.0.1", "port": broker.port},
            prompts=RULES,
            cameras={
                name: {"url": str(clip), "loop": True, "sample": {"fps": 10}}
                for name in ("yard", "door")
            },
        )
        # Where each alert waits for the file, as it did for 5 s, this takes 40 s.
        eventually(lambda: len(alerts_of(listener, "start")) == 8, "all alerts of both cameras")
        eventually(lambda: set(errors()) == {"feedback.db", "learned.db"}, "both in the state")
        eventually(lambda: listener.payloads("/status")[-1] == b"degraded", "degraded")
    eventually(lambda: listener.payloads("/status")[-1] == b"online", "online again")
    assert daemon.terminate() == 0
    kept = {alert["id"] for alert in alerts_of(listener, "start")}
    with contextlib.closing(sqlite3.connect(feedback)) as db:
        rows = {alert for (alert,) in db.execute("SELECT alert FROM alerts")}
    assert rows == kept | {"01JX7ZK4Q8V5R2M9T6B3N0C1DE"}
    assert CalibrationFile(learned).get(*ENTRY, "key") == b"data"


def test_a_full_disk_at_the_start_costs_no_alert_and_its_end_is_noticed(
    small_bundle: Path,
    clip: Path,
    small_disk: Path,
    run_daemon: Callable[..., Any],
    broker: Any,
    listen: Callable[..., Any],
    eventually: Callable[..., Any],
    alerts_of: Callable[..., Any],
) -> None:
    listener = listen(broker.port)
    fill(small_disk / "other")
    run_daemon(
        state_dir=str(small_disk / "state"),
        bundle=str(small_bundle),
        mqtt={"host": "127.0.0.1", "port": broker.port},
        prompts=RULES,
        cameras={"yard": {"url": str(clip), "loop": True, "sample": {"fps": 10}}},
    )
    eventually(lambda: len(alerts_of(listener, "start")) == 4, "all alerts, from memory")
    eventually(lambda: listener.payloads("/status")[-1] == b"degraded", "degraded")
    (small_disk / "other").unlink()
    eventually(lambda: listener.payloads("/status")[-1] == b"online", "online", 5)
    fill(small_disk / "other")  # no alert comes meanwhile
    eventually(lambda: listener.payloads("/status")[-1] == b"degraded", "degraded again", 5)


def fill(path: Path) -> None:
    """Take what is left of a disk."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
