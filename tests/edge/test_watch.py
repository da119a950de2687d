"""One camera's rules together: whose score is whose, and what happens when the camera is lost."""

import numpy as np
import pytest

from edge.events import Rule
from edge.frame import Arrival
from edge.prompts import CompiledPrompt, PromptBank
from edge.watch import Watch

RULE = Rule(threshold=0.1, on_for=1, on_of=1, off_after_s=1.0, gap_s=10.0)


@pytest.fixture
def bank():
    """Two prompts on two axes, and a background that neither is."""
    rows = np.eye(3, dtype=np.float32)
    prompts = tuple(
        CompiledPrompt(name, slice(row, row + 1), slice(2, 2), np.array([2]), None)
        for row, name in enumerate(["cat", "dog"])
    )
    return PromptBank(prompts, ("a cat", "a dog", "nothing"), rows, (), "hash")


def at(seconds):
    return Arrival(wall=1_750_000_000 + seconds, monotonic=seconds, pts_s=None)


def step(watch, bank, seconds, cat, dog):
    scores = np.array([cat, dog], np.float32)
    cosines = np.array([cat, dog, 0], np.float32)
    return watch.step(bank, cosines, scores, scores, at(seconds))


def test_each_rule_sees_its_own_score(bank):
    watch = Watch({"cat": RULE, "dog": RULE})
    (happening,) = step(watch, bank, 0.0, cat=0.0, dog=0.5)
    assert (happening.prompt, happening.sentence) == ("dog", "a dog")
    assert watch.margins == {"cat": 0.0, "dog": 0.5}


def test_another_cameras_rule_is_none_of_ours(bank):
    watch = Watch({"cat": RULE})
    assert step(watch, bank, 0.0, cat=0.0, dog=0.9) == []
    assert watch.margins == {"cat": 0.0}


def test_a_camera_without_rules_is_watched_for_its_embeddings(bank):
    watch = Watch({})
    assert step(watch, bank, 0.0, cat=0.9, dog=0.9) == []
    assert watch.lost(at(100.0)) == []
    assert not watch.alerting


def test_a_lost_camera_ends_its_alert_once(bank):
    watch = Watch({"cat": RULE})
    step(watch, bank, 0.0, cat=0.5, dog=0.0)
    assert watch.lost(at(9.0)) == []
    assert watch.alerting
    (end,) = watch.lost(at(11.0))
    assert end.transition.type == "end"
    assert watch.lost(at(12.0)) == []
    assert watch.margins == {}


def test_the_end_tells_the_sentence_of_the_last_word_on_it(bank):
    watch = Watch({"cat": RULE})
    (start,) = step(watch, bank, 0.0, cat=0.5, dog=0.0)
    (end,) = watch.finish(at(1.0))
    assert (start.sentence, end.sentence) == ("a cat", "a cat")
    assert end.transition.id == start.transition.id
