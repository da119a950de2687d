"""What was learned outlives the process, and nothing that it depends on."""

import contextlib
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.alerts.calibration_file import CalibrationFile
from edge.alerts.events import Rule
from edge.alerts.learned import Calibrations
from edge.alerts.messages import StartedAlert
from edge.alerts.threshold import Calibration
from edge.config.prompt import PromptConfig, SharpenedConfig
from edge.delivery.payloads import ModelRef
from edge.errors import SideFileError

MODEL = ModelRef(id="m", hash="h", precision="int8")
RULE = Rule(threshold=0.02, on_for=1, on_of=1)
PROMPT = PromptConfig(text=("a cat",), false_alarms_per_day=5.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "learned.db"


def of(
    path: Path,
    model: ModelRef = MODEL,
    prompt: PromptConfig = PROMPT,
    rule: Rule = RULE,
    fps: float = 2.0,
    background: list[str] | None = None,
) -> tuple[Calibrations, Calibration]:
    calibrations = Calibrations(CalibrationFile(path), model, background)
    return calibrations, calibrations.calibration("yard", "cat", prompt, rule, fps)


def learn(path: Path) -> Calibration:
    file = CalibrationFile(path)
    calibrations = Calibrations(file, MODEL, None)
    calibration = calibrations.calibration("yard", "cat", PROMPT, RULE, 2.0)
    margins = np.random.default_rng(0).normal(-0.1, 0.02, 30_000)
    for position, margin in enumerate(margins):
        calibration.observe(float(margin), position / 2, alerting=False, regime="day")
    calibrations.save()
    file.flush()
    return calibration


def test_a_restart_goes_on_with_what_was_learned(path: Path) -> None:
    before = learn(path).report()
    _, after = of(path)
    after.observe(-0.1, 0.0, alerting=False, regime="day")
    assert before.state == after.report().state == "learned"
    assert after.report().threshold == pytest.approx(before.threshold, abs=0.002)


@pytest.mark.parametrize(
    "change",
    [
        {"model": MODEL.model_copy(update={"precision": "fp32"})},
        {"model": MODEL.model_copy(update={"hash": "other"})},
        {"prompt": PROMPT.model_copy(update={"text": ("a dog",)})},
        {"prompt": PROMPT.model_copy(update={"negatives": ("a dog",)})},
        {"rule": Rule(threshold=0.02, on_for=2, on_of=3)},
        {"fps": 1.0},
        {"background": ["an empty yard"]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_changes_the_margins_starts_anew(path: Path, change: dict[str, Any]) -> None:
    learn(path)
    assert of(path, **change)[1].tails == {}
    louder = PROMPT.model_copy(update={"false_alarms_per_day": 2.0, "update_every": 5.0})
    assert set(of(path, prompt=louder)[1].tails) == {"", "day"}  # these change no margin


WEIGHTS = {"texts": (1.0,), "templates": (0.5, 0.5)}


def test_a_threshold_that_examples_taught_costs_nothing_of_what_was_learned_and_weights_do(
    path: Path,
) -> None:
    learn(path)
    taught = PROMPT.model_copy(
        update={"sharpened": SharpenedConfig(threshold=0.1, hysteresis=0.03)}
    )
    higher = replace(RULE, threshold=0.1, hysteresis=0.03)
    assert set(of(path, prompt=taught, rule=higher)[1].tails) == {"", "day"}
    weighed = SharpenedConfig.model_validate(
        WEIGHTS | {"threshold": 0.02, "hysteresis": RULE.hysteresis}
    )
    assert of(path, prompt=PROMPT.model_copy(update={"sharpened": weighed}))[1].tails == {}


def started(camera: str, levels: Mapping[str, float]) -> StartedAlert:
    return StartedAlert("01JX7ZK4Q8V5R2M9T6B3N0C1DE", camera, "cat", ("a cat",), levels, None, None)


def test_a_false_alarm_of_the_night_is_admitted_to_the_night(path: Path) -> None:
    calibrations, calibration = of(path)
    draws = np.random.default_rng(0)
    for number, (regime, ordinary) in enumerate((("night", 0.0), ("day", -0.2))):
        if regime == "day":  # somebody looks at the night's alert
            levels = calibration.levels(0.3)
        for position, margin in enumerate(draws.normal(ordinary, 0.02, 5_000)):
            at = (number * 5_000 + position) / 2
            calibration.observe(float(margin), at, alerting=False, regime=regime)
    assert levels["night"] == pytest.approx(0.3, abs=0.01)
    before = {regime: tail.to_bytes() for regime, tail in calibration.tails.items()}
    calibrations.rate(started("yard", levels), correct=False)
    changed = {r for r, tail in calibration.tails.items() if tail.to_bytes() != before[r]}
    assert changed == {"", "night"}
    calibrations.rate(started("gate", levels), correct=False)  # watched no longer: nothing happens


def test_a_moved_camera_forgets_and_the_others_do_not(path: Path) -> None:
    learn(path)
    calibrations, yard = of(path)
    door = calibrations.calibration("door", "cat", PROMPT, RULE, 2.0)
    door.observe(0.0, 0.0, alerting=False, regime="day")
    calibrations.forget("yard")
    assert yard.tails == {}
    assert door.tails != {}


def test_a_damaged_file_is_set_aside_and_costs_only_what_was_learned(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    learn(path)
    path.write_bytes(b"no database at all" * 1000)
    assert of(path)[1].tails == {}
    assert "set aside" in caplog.text
    assert list(path.parent.glob("learned-corrupt-*.db"))
    learn(path)
    assert set(of(path)[1].tails) == {"", "day"}


@pytest.mark.parametrize("damage", ["x'00'", "'text'", "NULL"])
def test_a_damaged_row_costs_only_itself_and_is_kept_in_a_copy(
    path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    learn(path)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute(f"UPDATE learned SET data = {damage} WHERE regime = 'day'")
    damaged = path.read_bytes()
    file = CalibrationFile(path)
    calibrations = Calibrations(file, MODEL, None)
    calibration = calibrations.calibration("yard", "cat", PROMPT, RULE, 2.0)
    assert set(calibration.tails) == {""}
    assert ("learns anew" in caplog.text) == (damage == "x'00'")
    calibration.observe(0.0, 0.0, alerting=False, regime="day")
    for _ in range(2):
        calibrations.save()
        file.flush()
    assert (path.parent / "learned-corrupt-1.db").read_bytes() == damaged
    assert not (path.parent / "learned-corrupt-2.db").exists()
    assert set(of(path)[1].tails) == {"", "day"}


def samples(path: Path) -> dict[str, int]:
    return {regime: tail.samples for regime, tail in of(path)[1].tails.items()}


def refuse_reading(path: Path, trouble: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the file be in this trouble until ``monkeypatch`` ends it."""
    connect = sqlite3.connect
    codes = {
        "locked": sqlite3.SQLITE_BUSY,
        "failing": sqlite3.SQLITE_IOERR,
        "full": sqlite3.SQLITE_FULL,
    }
    error = sqlite3.OperationalError(trouble)
    error.sqlite_errorcode = codes[trouble]

    def fail(database: Path, *args: Any, **words: Any) -> sqlite3.Connection:
        if Path(database) == path:
            raise error
        return connect(database, *args, **words)

    monkeypatch.setattr(sqlite3, "connect", fail)


@pytest.mark.parametrize("trouble", ["locked", "failing", "full"])
def test_a_file_that_cannot_be_read_at_the_start_is_not_written_and_comes_back(
    path: Path, trouble: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    threshold = learn(path).report().threshold
    before = samples(path)
    content = path.read_bytes()
    with monkeypatch.context() as broken:
        refuse_reading(path, trouble, broken)
        file = CalibrationFile(path)
        calibrations = Calibrations(file, MODEL, None)
        calibration = calibrations.calibration("yard", "cat", PROMPT, RULE, 2.0)
        calibration.observe(-0.1, 0.0, alerting=False, regime="day")
        assert calibration.report().state == "prior"
        calibrations.save()
        with pytest.raises(SideFileError):
            file.flush()
    assert path.read_bytes() == content
    assert "comes back once it can be read" in caplog.text
    file.flush()
    calibrations.catch_up()
    calibration.observe(-0.1, 1.0, alerting=False, regime="day")
    assert calibration.report().state == "learned"
    assert calibration.report().threshold == pytest.approx(threshold, abs=0.002)
    calibrations.save()
    file.flush()
    assert samples(path) == {regime: number + 1 for regime, number in before.items()}


def test_what_learned_more_meanwhile_stays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = CalibrationFile(path)
    before = Calibrations(file, MODEL, None)
    few = before.calibration("yard", "cat", PROMPT, RULE, 2.0)
    few.observe(0.0, 0.0, alerting=False, regime="day")
    before.save()
    file.flush()
    with monkeypatch.context() as broken:
        refuse_reading(path, "locked", broken)
        file = CalibrationFile(path)
        calibrations = Calibrations(file, MODEL, None)
        many = calibrations.calibration("yard", "cat", PROMPT, RULE, 2.0)
        for second in range(5):
            many.observe(0.0, second, alerting=False, regime="day")
    file.flush()
    calibrations.catch_up()
    assert {tail.samples for tail in many.tails.values()} == {5}


def test_a_newer_versions_file_is_left_as_it_is(path: Path) -> None:
    learn(path)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA user_version=2")
    content = path.read_bytes()
    file = CalibrationFile(path)
    calibrations = Calibrations(file, MODEL, None)
    calibration = calibrations.calibration("yard", "cat", PROMPT, RULE, 2.0)
    assert calibration.tails == {}
    calibration.observe(0.0, 0.0, alerting=False, regime="day")
    calibrations.save()
    with pytest.raises(SideFileError, match="format 2, this one knows up to 1"):
        file.flush()
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_is_lost_while_the_daemon_runs_gets_all_of_it_again(path: Path) -> None:
    learn(path)
    file = CalibrationFile(path)
    path.write_bytes(b"no database at all" * 1000)
    file.save({("yard", "dog", ""): ("key", b"data")})
    file.flush()
    assert file.get("yard", "dog", "", "key") == b"data"
    assert set(of(path)[1].tails) == {"", "day"}


def test_a_rule_that_comes_again_needs_no_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calibrations, calibration = of(path)
    calibration.observe(0.0, 0.0, alerting=False, regime="day")
    with monkeypatch.context() as broken:
        refuse_reading(path, "locked", broken)
        calibrations.save()
        calibrations.drop("yard", "cat")
        louder = PROMPT.model_copy(update={"false_alarms_per_day": 2.0})
        again = calibrations.calibration("yard", "cat", louder, RULE, 2.0)
    assert set(again.tails) == {"", "day"}


def test_a_disk_that_takes_nothing_stops_nobody(
    path: Path,
) -> None:
    folder = path.parent
    folder.write_text("a file where the folder should be")
    file = CalibrationFile(path)
    blocked = Calibrations(file, MODEL, None)
    calibration = blocked.calibration("yard", "cat", PROMPT, RULE, 2.0)
    calibration.observe(0.0, 0.0, alerting=False, regime="day")
    blocked.save()
    with pytest.raises(SideFileError, match="check the disk"):
        file.flush()
    folder.unlink()
    file.flush()
    blocked.save()
    file.flush()
    assert set(of(path)[1].tails) == {"", "day"}


def test_a_sentence_with_time_in_it_never_gets_a_threshold_below_its_clauses(path: Path) -> None:
    thresholds = {}
    for text in ("a cat", "a cat then a dog"):
        prompt = PromptConfig(text=(text,), false_alarms_per_day=5.0)
        _, calibration = of(path, prompt=prompt)
        margins = np.random.default_rng(0).normal(-0.3, 0.02, 30_000)
        for position, margin in enumerate(margins):
            calibration.observe(float(margin), position / 2, alerting=False, regime="day")
        assert calibration.report().state == "learned"
        thresholds[text] = calibration.report().threshold
    assert thresholds["a cat"] < -0.1
    assert thresholds["a cat then a dog"] == RULE.threshold


def test_visits_are_counted_over_a_restart_and_damaged_ones_anew(path: Path) -> None:
    file = CalibrationFile(path)
    calibrations = Calibrations(file, MODEL, None)
    calibrations.calibration("yard", "cat", PROMPT, RULE, 2.0)
    visits = calibrations.visits("yard", "cat")
    visits.begin("01JX7ZK4Q8V5R2M9T6B3N0C1DE")
    visits.watched_s += 100.0
    calibrations.save()
    file.flush()
    again, _ = of(path)
    assert again.visits("yard", "cat").current == visits.current
    other, _ = of(path, prompt=PROMPT.model_copy(update={"text": ("a lion",)}))
    assert other.visits("yard", "cat").current is None
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE learned SET data = x'00' WHERE rule LIKE '#visits%'")
        db.commit()
    damaged, _ = of(path)
    assert damaged.visits("yard", "cat").current is None
