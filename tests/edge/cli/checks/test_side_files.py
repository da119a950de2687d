"""``edge check`` finds the trouble of side files that the daemon would meet, and changes nothing."""

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.alerts.calibration_file import CalibrationFile
from edge.alerts.messages import StartedAlert
from edge.cli.checks.disk import check_disk
from edge.cli.checks.side_files import check_side_files
from edge.control.announce.record import Place
from edge.control.announce.retained import Retained
from edge.control.desired.file import DesiredFile
from edge.control.desired.state import Desired
from edge.control.learning.feedback import FeedbackFile

ULID = "01JX7ZK4Q8V5R2M9T6B3N0C1DE"
FILES = ("learned.db", "feedback.db", "retained.json", "desired.json")


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """A folder with something in each side file."""
    folder = tmp_path / "state"
    learned = CalibrationFile(folder / "learned.db")
    learned.save({("yard", "rule", ""): ("key", b"data")})
    learned.flush()
    feedback = FeedbackFile(folder / "feedback.db", "model")
    feedback.expect(StartedAlert(ULID, "yard", "rule", (), {}, None, None))
    feedback.flush()
    place = Place("broker:1883", "edge", "box")
    Retained(folder / "retained.json", place, lambda _: None).expect(["edge/box/status"])
    DesiredFile(folder / "desired.json").save(Desired())
    return folder


def damage(path: Path) -> None:
    path.write_bytes(b"\xff no file of ours" * 99)


def make_newer(path: Path) -> None:
    if path.suffix == ".json":
        path.write_bytes(path.read_bytes().replace(b"/1", b"/2"))
        return
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version=77")


def put_a_folder_there(path: Path) -> None:
    path.unlink()
    path.mkdir()


def unmount(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parent.parent / "disk" / path.name)


def everything(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_files_that_are_well_are_no_news(state_dir: Path, tmp_path: Path) -> None:
    assert list(check_side_files(state_dir)) == []
    assert list(check_side_files(tmp_path / "not" / "yet")) == []


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (damage, "it is set aside"),
        (make_newer, "start the version that wrote it"),
        (put_a_folder_there, "check the disk and the permissions"),
        (unmount, "check the disk and the permissions"),
    ],
)
def test_a_side_file_in_trouble_is_a_warning_and_stays_as_it_is(
    state_dir: Path, name: str, trouble: Callable[[Path], None], said: str
) -> None:
    trouble(state_dir / name)
    before = everything(state_dir)
    (result,) = check_side_files(state_dir)
    assert (result.check, result.verdict) == (name, "warn")
    assert str(state_dir / name) in result.found
    assert said in result.found
    assert everything(state_dir) == before


def test_a_file_that_another_process_holds_is_named(state_dir: Path) -> None:
    with contextlib.closing(sqlite3.connect(state_dir / "learned.db", isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        (result,) = check_side_files(state_dir)
    assert "another process holds it" in result.found


def test_what_was_set_over_mqtt_is_mentioned(state_dir: Path) -> None:
    DesiredFile(state_dir / "desired.json").save(Desired(profile="night"))
    (result,) = check_side_files(state_dir)
    assert (result.check, result.verdict) == ("desired.json", "ok")
    assert "set over MQTT count before" in result.found


def test_a_state_dir_on_a_disk_that_is_not_mounted_fails(tmp_path: Path) -> None:
    link = tmp_path / "state"
    link.symlink_to(tmp_path / "disk" / "edge")
    assert check_disk(link, 1).exit_code == 6
    (tmp_path / "disk" / "edge").mkdir(parents=True)
    assert check_disk(link, 1).verdict == "ok"
