"""The head before training: a regression in closed form, on features that are there already."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from classroom import Classroom
from rich.progress import Progress
from safetensors.torch import save_file

from export.distill import pipeline
from export.distill.pipeline import Distillation
from export.distill.training.head_start import begin_head, ridge
from export.distill.training.train import evaluate

RANDOM = np.random.default_rng(3)
FEATURES = torch.from_numpy(RANDOM.standard_normal((40, 6)) * [1, 1, 2, 5, 0.1, 1] + 3)
ROWS = torch.from_numpy(RANDOM.standard_normal((40, 4)))


def test_a_linear_map_is_found_again() -> None:
    weight, bias = torch.from_numpy(RANDOM.standard_normal((4, 6))), torch.arange(4.0).double()
    found = ridge(FEATURES, FEATURES @ weight.T + bias, 1e-12)
    assert torch.allclose(found[0], weight)
    assert torch.allclose(found[1], bias)


def test_it_is_the_least_of_what_it_says_it_minimises() -> None:
    """Against least squares with the penalty as further rows: another way to the same minimum."""
    strength = 0.7
    centred = (FEATURES - FEATURES.mean(0)).numpy()
    penalty = np.sqrt(strength * (centred**2).sum(0).mean())
    wide = np.hstack([FEATURES.numpy(), np.ones((40, 1))])
    stacked = np.vstack([wide, penalty * np.eye(6, 7)])
    expected, *_ = np.linalg.lstsq(stacked, np.vstack([ROWS.numpy(), np.zeros((6, 4))]), rcond=None)
    weight, bias = ridge(FEATURES, ROWS, strength)
    assert np.allclose(weight.numpy(), expected[:6].T)
    assert np.allclose(bias.numpy(), expected[6])


def test_the_scale_of_the_features_does_not_matter() -> None:
    weight, bias = ridge(FEATURES, ROWS, 1.0)
    scaled, same = ridge(100 * FEATURES, ROWS, 1.0)
    assert torch.allclose(100 * scaled, weight)
    assert torch.allclose(same, bias)


def test_fewer_pictures_than_features_have_an_answer() -> None:
    weight, _ = ridge(FEATURES[:3], ROWS[:3], 1.0)
    assert bool(weight.isfinite().all())


def test_the_student_knows_something_before_the_first_step(room: Classroom, tmp_path: Path) -> None:
    trainee = room.trainee()
    school = room.school(tmp_path)
    before = evaluate(trainee, school)
    backbone = {
        name: value.clone() for name, value in trainee.student.backbone.state_dict().items()
    }
    begin_head(trainee, school)
    after = evaluate(trainee, school)
    assert after.cosine > before.cosine + 0.2
    for name, value in trainee.student.backbone.state_dict().items():
        assert torch.equal(value, backbone[name]), "nothing else has changed"
    again = room.trainee()
    begin_head(again, school)
    assert torch.equal(again.student.head.weight, trainee.student.head.weight)


@pytest.mark.parametrize(("given", "first"), [(True, "the head"), (False, "a step")])
def test_a_head_begins_so_where_the_backbone_begins_with_weights(
    given: bool,
    first: str,
    room: Classroom,
    request_: Distillation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Features of a random network say nothing."""

    def then(what: str) -> Callable[..., None]:
        def raising(*_: object) -> None:
            raise InterruptedError(what)

        return raising

    monkeypatch.setattr(pipeline, "begin_head", then("the head"))
    monkeypatch.setattr(pipeline, "train", then("a step"))
    weights = tmp_path / "weights.safetensors"
    save_file(room.student().backbone.state_dict(), weights)
    asked = replace(
        request_, work=tmp_path / "work", out=tmp_path / "out", weights=weights if given else None
    )
    with pytest.raises(InterruptedError, match=first):
        pipeline.distill(asked, Progress(disable=True))
