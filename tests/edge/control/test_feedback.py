"""What was said of alerts, on disk; and what a rule learns from it."""

import numpy as np
import pytest

from edge.config.models import EngineConfig, PromptConfig
from edge.control import Feedback
from edge.feedback import FeedbackFile, Told
from edge.lessons import Teacher
from edge.models import open_models
from edge.sharpen import Shots
from export.testing import tiny_bundle

ULIDS = [f"01JX7ZK4Q8V5R2M9T6B3N0C1D{letter}" for letter in "0123456789"]


def told(number, rule="cat", embedding=(1.0, 0.0)):
    vector = None if embedding is None else np.array(embedding, np.float32)
    return Told(ULIDS[number], "yard", rule, 0.1 * number, vector)


def said(number, *, correct):
    return Feedback(schema="edge-feedback/1", alert=ULIDS[number], correct=correct)


def test_it_is_remembered_across_restarts_with_whose_alert_it_was(tmp_path):
    path = tmp_path / "state" / "feedback.db"
    FeedbackFile(path, "m").expect(told(3))
    again = FeedbackFile(path, "m")
    found = again.add(said(3, correct=False))
    assert (found.camera, found.rule, found.margin) == ("yard", "cat", pytest.approx(0.3))
    assert again.add(said(4, correct=True)) is None


def test_shots_are_the_alerts_of_one_rule_and_model_that_something_was_said_of(tmp_path):
    file = FeedbackFile(tmp_path / "feedback.db", "m")
    assert file.shots("cat") is None
    for number in range(4):
        file.expect(told(number, embedding=(float(number), 1.0)))
    file.expect(told(4, rule="dog"))
    file.expect(told(5, embedding=None))
    for number in (0, 2, 4, 5):
        file.add(said(number, correct=number == 2))
    shots = file.shots("cat")
    assert shots.embeddings.tolist() == [[0, 1], [2, 1]]
    assert shots.wanted.tolist() == [False, True]
    assert len(set(shots.groups.tolist())) == 2
    file.add(said(2, correct=False))  # the last word counts
    assert not file.shots("cat").wanted.any()
    assert FeedbackFile(tmp_path / "feedback.db", "another model").shots("cat") is None


def test_a_damaged_file_is_set_aside(tmp_path, caplog):
    path = tmp_path / "feedback.db"
    path.write_bytes(b"no database" * 500)
    file = FeedbackFile(path, "m")
    file.expect(told(0))
    assert "set aside" in caplog.text
    file.expect(told(1))
    assert file.add(said(1, correct=True)).rule == "cat"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    bundle = tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")
    with open_models(bundle, EngineConfig()) as models:
        yield models


@pytest.mark.parametrize("right", [0, 1])
def test_few_alerts_teach_nothing_or_the_threshold_alone(models, right):
    dim = models.bundle.manifest.dim
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(2 + right, dim)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    shots = Shots(embeddings, np.array([False, False] + [True] * right), np.arange(2 + right))
    prompt = PromptConfig(text=("a cat",), negatives=("a dog",))
    taught = Teacher(models, None).teach("cat", prompt, shots)
    assert (taught.right, taught.wrong) == (right, 2)
    if right:
        assert taught.record is None
    else:
        assert taught.record.threshold >= models.bundle.manifest.decision.threshold
        assert taught.record.texts == ()


def test_one_false_alarm_teaches_nothing(models):
    dim = models.bundle.manifest.dim
    one = Shots(np.eye(1, dim, dtype=np.float32), np.array([False]), np.array([0]))
    assert Teacher(models, None).teach("cat", PromptConfig(text=("a cat",)), one).record is None
