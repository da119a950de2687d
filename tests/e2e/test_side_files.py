"""What stands beside the outbox in ``state_dir`` costs only itself, in the daemon as it runs."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_box import Box

from edge.alerts.calibration_file import CalibrationFile
from edge.alerts.messages import StartedAlert
from edge.control.learning.feedback import FeedbackFile

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
    box: Box, clip: Path, state_dir: Path
) -> None:
    feedback, learned = state_dir / "feedback.db", state_dir / "learned.db"
    with locked(feedback, learned):
        daemon = box.start(
            prompts=RULES,
            cameras={name: box.watched(str(clip), loop=True) for name in ("yard", "door")},
        )
        # Where each alert waits for the file, as it did for 5 s, this takes 40 s.
        box.eventually(lambda: len(box.alerts("start")) == 8, "all alerts of both cameras")
        box.eventually(
            lambda: set(box.errors()) == {"feedback.db", "learned.db"}, "both in the state"
        )
        box.eventually(lambda: box.status() == "degraded", "degraded")
    box.eventually(lambda: box.status() == "online", "online again")
    assert daemon.terminate() == 0
    kept = {alert["id"] for alert in box.alerts("start")}
    with contextlib.closing(sqlite3.connect(feedback)) as db:
        rows = {alert for (alert,) in db.execute("SELECT alert FROM alerts")}
    assert rows == kept | {"01JX7ZK4Q8V5R2M9T6B3N0C1DE"}
    assert CalibrationFile(learned).get(*ENTRY, "key") == b"data"


def test_a_full_disk_at_the_start_costs_no_alert_and_its_end_is_noticed(
    small_disk: Path, box: Box, clip: Path
) -> None:
    fill(small_disk / "other")
    box.start(
        state_dir=str(small_disk / "state"),
        prompts=RULES,
        cameras={"yard": box.watched(str(clip), loop=True)},
    )
    box.eventually(lambda: len(box.alerts("start")) == 4, "all alerts, from memory")
    box.eventually(lambda: box.status() == "degraded", "degraded")
    (small_disk / "other").unlink()
    box.eventually(lambda: box.status() == "online", "online", 5)
    fill(small_disk / "other")  # no alert comes meanwhile
    box.eventually(lambda: box.status() == "degraded", "degraded again", 5)


def fill(path: Path) -> None:
    """Take what is left of a disk."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
