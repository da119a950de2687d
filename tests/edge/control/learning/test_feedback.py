"""What was said of alerts, on disk; and what a rule learns from it."""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from present import present
from tiny_bundle import tiny_bundle

from edge.alerts.messages import StartedAlert
from edge.config.models import EngineConfig
from edge.config.prompt import PoolConfig, PromptConfig
from edge.control.commands import Feedback
from edge.control.learning.feedback import FeedbackFile
from edge.control.learning.teacher import FeedbackTeacher, TeachingResult
from edge.errors import ConfigError, SideFileError
from edge.rules.shots import Shots
from edge.scoring.margins import margins
from edge.scoring.open import Models, open_models

ULIDS = [f"01JX7ZK4Q8V5R2M9T6B3N0C1D{letter}" for letter in "0123456789"]


def told(
    number: int, rule: str = "cat", embedding: tuple[float, float] | None = (1.0, 0.0)
) -> StartedAlert:
    vector = None if embedding is None else np.array(embedding, np.float32)
    return StartedAlert(
        ULIDS[number], "yard", rule, (f"a {rule}",), {"": 0.1 * number}, 1e9 + number, vector
    )


def said(number: int, *, correct: bool) -> Feedback:
    return Feedback(schema="edge-feedback/1", alert=ULIDS[number], correct=correct)


def test_it_is_remembered_across_restarts_with_whose_alert_it_was(tmp_path: Path) -> None:
    path = tmp_path / "state" / "feedback.db"
    first = FeedbackFile(path, "m")
    first.expect(told(3))
    first.flush()
    again = FeedbackFile(path, "m")
    found = present(again.add(said(3, correct=False)))
    assert (found.camera, found.rule, found.sentences) == ("yard", "cat", ("a cat",))
    assert found.levels == {"": pytest.approx(0.3)}
    assert found.correct is None
    assert present(again.add(said(3, correct=False))).correct is False  # what had been said before
    assert again.add(said(4, correct=True)) is None


def test_shots_are_the_alerts_of_one_rule_and_model_that_something_was_said_of(
    tmp_path: Path,
) -> None:
    file = FeedbackFile(tmp_path / "feedback.db", "m")
    assert file.shots("cat", ("a cat",)) is None
    for number in range(4):
        file.expect(told(number, embedding=(float(number), 1.0)))
    file.expect(told(4, rule="dog"))
    file.expect(told(5, embedding=None))
    for number in (0, 2, 4, 5):
        file.add(said(number, correct=number == 2))
    assert file.shots("cat", ("a lorry",)) is None  # it was said of another sentence
    shots = present(file.shots("cat", ("a cat",)))
    assert shots.embeddings.tolist() == [[0, 1], [2, 1]]
    assert shots.wanted.tolist() == [False, True]
    assert len(set(shots.groups.tolist())) == 2
    file.add(said(2, correct=False))  # the last word counts
    assert not present(file.shots("cat", ("a cat",))).wanted.any()
    assert FeedbackFile(tmp_path / "feedback.db", "another model").shots("cat", ("a cat",)) is None


def test_a_damaged_file_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "feedback.db"
    path.write_bytes(b"no database" * 500)
    file = FeedbackFile(path, "m")
    file.expect(told(0))
    file.flush()
    assert "set aside" in caplog.text
    assert present(file.add(said(0, correct=True))).rule == "cat"


def test_a_locked_file_holds_no_alert_up_and_loses_none(tmp_path: Path) -> None:
    path = tmp_path / "feedback.db"
    file = FeedbackFile(path, "m")
    file.expect(told(0))
    file.flush()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        for number in range(1, 5):
            file.expect(told(number))
        assert time.monotonic() - began < 0.2  # one wait for the file would be longer
        uses: list[Callable[[], object]] = [file.flush, lambda: file.add(said(1, correct=False))]
        for use in uses:
            with pytest.raises(SideFileError, match="database is locked; another process holds it"):
                use()
    # Feedback may come before the keeper has come by.
    assert present(file.add(said(4, correct=False))).correct is None
    again = FeedbackFile(path, "m")
    assert all(again.add(said(number, correct=True)) for number in range(5))
    assert present(again.add(said(4, correct=True))).correct is True


def test_a_clock_that_was_wrong_costs_no_alert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.control.learning.feedback._ALERTS", 3)
    file = FeedbackFile(tmp_path / "feedback.db", "m")
    for number, year in enumerate((2026, 2030, 2026, 2026, 1970)):
        file.expect(replace(told(number), at=(year - 1970) * 31_556_952.0))
        file.flush()
    # The three newest, in the order in which they came.
    known = [file.add(said(number, correct=True)) is not None for number in range(5)]
    assert known == [False, False, True, True, True]


def test_what_was_said_of_an_alert_stays_when_it_is_noted_again(tmp_path: Path) -> None:
    file = FeedbackFile(tmp_path / "feedback.db", "m")
    file.expect(told(0))
    file.add(said(0, correct=False))
    file.expect(told(0))
    assert present(file.add(said(0, correct=False))).correct is False


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("sentences", "'['"),
        ("sentences", "'[5]'"),
        ("sentences", f"'{'[' * 100_000}'"),
        ("levels", "'[1]'"),
        ("levels", "NULL"),
        ("levels", """'{"": Infinity}'"""),
        ("levels", f"""'{{"": {"9" * 400}}}'"""),
        ("rule", "x'05'"),
        ("camera", "NULL"),
    ],
)
def test_a_damaged_row_is_an_alert_that_is_not_known(
    tmp_path: Path, column: str, value: str
) -> None:
    path = tmp_path / "feedback.db"
    file = FeedbackFile(path, "m")
    for number in (0, 1):
        file.expect(told(number))
    file.flush()
    damage(path, f"UPDATE alerts SET {column} = {value} WHERE alert = '{ULIDS[0]}'")
    assert file.add(said(0, correct=True)) is None
    assert file.add(said(1, correct=True)) is not None


@pytest.mark.parametrize("value", ["x'00'", "x'00000000'", "x'0000c07f0000c07f'", "5"])
def test_a_damaged_embedding_is_no_shot(tmp_path: Path, value: str) -> None:
    path = tmp_path / "feedback.db"
    file = FeedbackFile(path, "m")
    for number in range(3):
        file.expect(told(number))
        file.add(said(number, correct=True))
    damage(path, f"UPDATE alerts SET embedding = {value} WHERE alert = '{ULIDS[1]}'")
    assert len(present(file.shots("cat", ("a cat",))).embeddings) == 2


def damage(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute(statement)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    bundle = tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")
    with open_models(bundle, EngineConfig()) as models:
        yield models


PROMPT = PromptConfig(text=("red",), negatives=("blue",))
LOW = PROMPT.model_copy(update={"threshold": -2.0})  # everything alerts


def shots_of(models: Models, wanted: list[bool]) -> Shots:
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(len(wanted), models.bundle.manifest.dim)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return Shots(embeddings, np.array(wanted), np.arange(len(wanted)))


def margins_of(models: Models, prompt: PromptConfig, shots: Shots) -> NDArray[np.float32]:
    with models.scoring.open_compiler() as compile_prompts:
        bank = compile_prompts({"cat": prompt})
    return margins(bank, shots.embeddings @ bank.rows.T).margin[:, 0]


def taught_by(models: Models, prompt: PromptConfig, shots: Shots) -> TeachingResult:
    return present(FeedbackTeacher(models, None).teach("cat", prompt, shots))


@pytest.mark.parametrize("wanted", [[False], [True, True], [False, False, True], [True, False]])
def test_too_few_alerts_teach_nothing(models: Models, wanted: list[bool]) -> None:
    assert FeedbackTeacher(models, None).teach("cat", LOW, shots_of(models, wanted)) is None


def test_of_false_alarms_alone_the_threshold_goes_just_above_them(models: Models) -> None:
    shots = shots_of(models, [False, False, False])
    taught = taught_by(models, LOW, shots)
    highest = margins_of(models, LOW, shots).max()
    record = present(taught.record)
    assert highest < record.threshold < highest + 1e-4
    assert record.texts == ()
    assert (taught.lesson.before.wrong, taught.lesson.after.wrong) == (3, 0)


def test_false_alarms_that_no_longer_reach_the_threshold_teach_nothing(models: Models) -> None:
    high = PROMPT.model_copy(update={"threshold": 2.0})
    taught = taught_by(models, high, shots_of(models, [False, False]))
    assert taught.record is None
    assert taught.lesson.before.wrong == 0


def test_right_and_wrong_alerts_that_a_threshold_tells_apart_do_so_left_out(models: Models) -> None:
    shots = shots_of(models, [False] * 12)
    values = margins_of(models, LOW, shots)
    apart = Shots(shots.embeddings, values > np.median(values), shots.groups)
    taught = taught_by(models, LOW, apart)
    assert (taught.lesson.right, taught.lesson.wrong) == (6, 6)
    assert (taught.lesson.before.right, taught.lesson.before.wrong) == (6, 6)
    assert taught.lesson.after.wrong <= 1
    assert taught.lesson.after.right >= 5
    told = margins_of(models, PROMPT.model_copy(update={"sharpened": taught.record}), apart)
    hits = told >= present(taught.record).threshold
    assert (hits == apart.wanted).mean() > 0.9


def test_a_rule_that_is_pooled_is_not_taught_by_single_samples(models: Models) -> None:
    pooled = LOW.model_copy(update={"pool": PoolConfig(kind="mean")})
    with pytest.raises(ConfigError, match="found a pool of 12"):
        FeedbackTeacher(models, None).teach("cat", pooled, shots_of(models, [False, False]))
