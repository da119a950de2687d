"""A phase of training: its steps, its end, and going on bit for bit where it was broken off."""

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from classroom import RECIPE, Classroom
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from edge.errors import ConfigError, ModelError
from export.distill.data.answers import AnswerCache
from export.distill.data.training_set import order
from export.distill.recipe import Recipe
from export.distill.students import Student
from export.distill.teacher import Answers
from export.distill.training import train as module
from export.distill.training.optimization import curve, groups, share_of
from export.distill.training.states import Checkpoints, TrainingState
from export.distill.training.train import Phase, embed, evaluate, train
from export.distill.training.trainee import HeldOut, Trainee

PHASE = Phase("float", 3, 1e-3)
PER_EPOCH = 3  # of 59 pictures, in batches of 16


class Broken(Exception):
    """As if the power went."""


@dataclass
class Learned:
    standing: TrainingState
    trainee: Trainee
    losses: list[float]
    folder: Path

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        return self.trainee.state_dict()


def dropping(room: Classroom) -> Student:
    student = room.student()
    student.head = nn.Sequential(nn.Dropout(0.5), student.head)  # type: ignore[assignment]
    return student


MAKE: dict[str, Callable[[Classroom], Student]] = {
    "a transformer": lambda room: room.student(),
    "one with dropout": dropping,
    "one with batch norm": lambda room: room.student("test_efficientnet"),
}


@pytest.fixture
def learn(room: Classroom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Train the named network; ``stop`` breaks it off within that step."""
    monkeypatch.setattr(module, "_SAVE_EVERY", 2)

    def start(
        folder: str = "work",
        make: str = "a transformer",
        phase: Phase = PHASE,
        stop: int | None = None,
        trainee: Trainee | None = None,
        **facts: Any,
    ) -> Learned:
        losses = []

        def on_step(step: int, loss: float) -> None:
            losses.append(loss)
            if step == stop:
                raise Broken

        trainee = trainee or room.trainee(MAKE[make](room))
        school = room.school(tmp_path / folder, on_step=on_step, **facts)
        standing = train(trainee, phase, school)
        return Learned(standing, trainee, losses, tmp_path / folder / phase.name)

    return start


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("make", MAKE)
def test_a_training_that_was_broken_off_goes_on_bit_for_bit(
    learn: Callable[..., Any], make: str
) -> None:
    whole = learn("whole", make)
    for stop in (3, 5, 8):  # behind a state within an epoch, likewise, behind an epoch's end
        with pytest.raises(Broken):
            learn("broken", make, stop=stop)
    resumed = learn("broken", make)
    assert resumed.losses[-1] == whole.losses[-1]
    assert len(resumed.losses) < PER_EPOCH * PHASE.epochs
    assert resumed.standing == whole.standing
    assert same(resumed.tensors, whole.tensors)
    last, others = (
        load_file(one.folder / "last" / "model.safetensors") for one in (resumed, whole)
    )
    assert same(last, others)


def test_dropout_would_show_numbers_that_are_drawn_anew(learn: Callable[..., Any]) -> None:
    """Of the test above: with another seed the student with dropout becomes another."""
    one = learn("one", "one with dropout")
    other = learn("other", "one with dropout", recipe=replace(RECIPE, seed=1))
    assert not same(one.tensors, other.tensors)


def test_a_training_that_is_over_gives_its_best_without_a_step(learn: Callable[..., Any]) -> None:
    whole = learn()
    again = learn(phase=PHASE)
    assert again.losses == []
    assert again.standing == whole.standing
    assert again.standing.done
    assert same(again.tensors, whole.tensors)  # of the alignment too: the next phase starts with it


def test_losses_fall_and_every_epoch_is_judged(learn: Callable[..., Any]) -> None:
    found = learn(phase=Phase("float", 8, 5e-3))
    assert len(found.losses) == 8 * PER_EPOCH
    assert np.mean(found.losses[-3:]) < 0.8 * np.mean(found.losses[:3])
    assert len(found.standing.history) - 1 == found.standing.epoch == 8
    assert found.standing.best == min(record["loss"] for record in found.standing.history)


def test_the_state_of_another_training_is_refused(learn: Callable[..., Any]) -> None:
    learn()
    with pytest.raises(
        ConfigError, match=r"expected the state of this training, .* another --work"
    ):
        learn(fingerprint="two")


@pytest.mark.parametrize(
    "name", ["model.safetensors", "optimizer.bin", "random_states_0.pkl", "custom_checkpoint_0.pkl"]
)
@pytest.mark.parametrize("how", ["cut", "zeroed", "gone"])
def test_a_damaged_state_is_an_error_that_names_the_file(
    finished: tuple[Callable[..., Any], Path], name: str, how: str
) -> None:
    learn, folder = finished
    path = folder / "last" / name
    data = path.read_bytes()
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(data[:-9] if how == "cut" else bytes(len(data)))
    try:
        with pytest.raises(ModelError, match=rf"{name}.* remove .*float and start again"):
            learn()
    finally:
        path.write_bytes(data)


@pytest.fixture(scope="module")
def finished(
    room: Classroom, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Callable[..., Any], Path]:
    """One finished training, for whoever only damages it."""
    work = tmp_path_factory.mktemp("finished")

    def learn() -> TrainingState:
        return train(room.trainee(), Phase("float", 1, 1e-3), room.school(work))

    learn()
    return learn, work / "float"


@pytest.mark.parametrize(
    "note", ["", "[]", "{}", '{"fingerprint": "one-float", "standing": {"day": 1}}']
)
def test_a_damaged_note_is_an_error(finished: tuple[Callable[..., Any], Path], note: str) -> None:
    learn, folder = finished
    path = folder / "last" / "progress.json"
    text = path.read_text()
    path.write_text(note)
    try:
        with pytest.raises(ModelError, match=r"progress.json: expected how far the training is"):
            learn()
    finally:
        path.write_text(text)


def test_a_damaged_best_student_is_an_error(finished: tuple[Callable[..., Any], Path]) -> None:
    learn, folder = finished
    path = folder / "best.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:100])
    try:
        with pytest.raises(ModelError, match="expected the best student so far"):
            learn()
    finally:
        path.write_bytes(data)


def test_a_run_that_was_killed_between_two_renames_goes_on_with_the_old_state(
    finished: tuple[Callable[..., Any], Path], tmp_path: Path
) -> None:
    _, folder = finished
    copy = tmp_path / "float"
    shutil.copytree(folder, copy)
    (copy / "last").rename(copy / "old")
    (copy / "new").mkdir()  # half written
    checkpoints = Checkpoints(copy, "one-float")
    assert checkpoints.standing() == Checkpoints(folder, "one-float").standing()
    checkpoints.save(Accelerator(), TrainingState(epoch=7))
    standing = checkpoints.standing()
    assert standing is not None
    assert standing.epoch == 7
    assert sorted(path.name for path in copy.iterdir()) == ["best.safetensors", "last"]


def test_a_disk_that_refuses_keeps_the_state_before(
    finished: tuple[Callable[..., Any], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder = finished
    copy = tmp_path / "float"
    shutil.copytree(folder, copy)
    checkpoints, accelerator = Checkpoints(copy, "one-float"), Accelerator()
    before = checkpoints.standing()

    def full(*_args: Any, **_kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Accelerator, "save_state", full)
    with pytest.raises(ModelError, match="No space left on device; free some space"):
        checkpoints.save(accelerator, TrainingState(epoch=9))
    assert checkpoints.standing() == before
    monkeypatch.setattr("export.distill.training.states.save_file", full)
    best = checkpoints.best.read_bytes()
    with pytest.raises(ModelError, match="No space left on device; free some space"):
        checkpoints.keep_best(nn.Linear(2, 2))
    assert checkpoints.best.read_bytes() == best


def test_what_several_names_share_is_kept_under_each(tmp_path: Path) -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = self.other = nn.Linear(2, 2)

    kept, found = Both(), Both()
    checkpoints = Checkpoints(tmp_path, "any")
    checkpoints.keep_best(kept)
    checkpoints.load_best(found)
    assert torch.equal(found.other.weight, kept.one.weight)


def poisoned(monkeypatch: pytest.MonkeyPatch, poison: set[tuple[int, int]]) -> None:
    get = AnswerCache.__getitem__

    def spoilt(self: AnswerCache, asked: tuple[int, int]) -> Answers:
        found = get(self, asked)
        return replace(found, embedding=found.embedding * np.nan) if asked in poison else found

    monkeypatch.setattr(AnswerCache, "__getitem__", spoilt)


def test_a_loss_that_is_no_number_ends_it_and_the_last_good_state_goes_on(
    learn: Callable[..., Any], room: Classroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = learn("whole")
    fourth, fifth = order(room.training_set, 1, RECIPE.batch)[:2]
    with monkeypatch.context() as patch:
        poisoned(patch, {fifth[3]} - set(fourth))
        with pytest.raises(
            ModelError, match=r"finite loss, found nan; the last good .* smaller --lr"
        ):
            learn("poisoned")
    weights = load_file(
        whole.folder.parents[1] / "poisoned" / "float" / "last" / "model.safetensors"
    )
    assert all(tensor.isfinite().all() for tensor in weights.values())
    found = learn("poisoned")
    assert found.standing == whole.standing
    assert same(found.tensors, whole.tensors)


def test_weights_that_are_no_numbers_are_not_kept_as_a_state(
    learn: Callable[..., Any], room: Classroom
) -> None:
    """A gradient can overflow where its loss does not."""
    trainee = room.trainee()
    calls = iter(range(10**6))
    trainee.student.head.weight.register_hook(  # type: ignore[no-untyped-call]
        lambda gradient: gradient * (math.nan if next(calls) == 9 else 1)
    )
    with pytest.raises(ModelError, match="expected finite weights"):
        learn(trainee=trainee)  # two chunks a step: in the fifth, just before a state is kept
    with pytest.raises(Broken):
        learn(stop=PER_EPOCH + 1)  # the state before it is that of the first epoch


def test_held_out_pictures_that_give_no_number_end_it(
    learn: Callable[..., Any], room: Classroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned(monkeypatch, {(room.training_set.held_out[0], 0)})
    with pytest.raises(ModelError, match="expected a finite held-out loss, found nan"):
        learn()


def test_it_ends_when_nothing_improves_and_the_best_is_taken(
    learn: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([3.0, 2.0, 2.5, 2.0, 1.0])
    seen = []

    def fake(trainee: Trainee, _school: object) -> HeldOut:
        seen.append({name: tensor.clone() for name, tensor in trainee.state_dict().items()})
        return HeldOut(next(losses), 0, 0, 0, 0)

    monkeypatch.setattr(module, "evaluate", fake)
    found = learn(recipe=replace(RECIPE, patience=2), phase=replace(PHASE, epochs=9))
    assert [record["loss"] for record in found.standing.history] == [3, 2, 2.5, 2]
    assert (found.standing.best, found.standing.waiting, found.standing.done) == (2, 2, True)
    assert found.standing.epoch == 3
    assert same(found.tensors, seen[1])
    assert not same(seen[1], seen[3])


def test_a_student_that_training_only_spoils_is_taken_as_it_began(
    learn: Callable[..., Any], room: Classroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([1.0, 2.0, 2.0, 2.0])
    monkeypatch.setattr(module, "evaluate", lambda *_: HeldOut(next(losses), 0, 0, 0, 0))
    trainee = room.trainee()
    began = {name: tensor.clone() for name, tensor in trainee.state_dict().items()}
    found = learn(trainee=trainee)
    assert (found.standing.epoch, found.standing.best) == (3, 1)
    assert same(found.tensors, began)


def test_frozen_normalizations_keep_their_means_and_others_do_not(
    learn: Callable[..., Any],
) -> None:
    for frozen in (True, False):
        trainee = learn(
            f"{frozen}", "one with batch norm", phase=Phase("qat", 1, 1e-3, frozen_norms=frozen)
        ).trainee
        norms = [m for m in trainee.modules() if isinstance(m, nn.BatchNorm2d)]
        means = [norm.running_mean for norm in norms]
        fresh = all(mean is not None and mean.abs().max() == 0 for mean in means)
        assert fresh == frozen


def test_evaluation_is_of_the_pictures_themselves_and_leaves_no_trace(
    room: Classroom, tmp_path: Path
) -> None:
    student = dropping(room).train()
    trainee = room.trainee(student).train()
    school = room.school(tmp_path)
    found = embed(trainee, school, room.training_set.held_out)
    assert trainee.training
    head: Any = student.head
    assert head[0].training
    assert found.shape == (len(room.training_set.held_out), 24)
    assert torch.linalg.vector_norm(found, dim=1) == pytest.approx(1, abs=1e-5)
    assert torch.equal(found, embed(trainee, school, room.training_set.held_out))  # no dropout
    judged = evaluate(trainee, school)
    reference = room.training_set.plain.embeddings(room.training_set.held_out)
    cosines = (found.numpy() * reference).sum(axis=1)
    assert judged.cosine == pytest.approx(cosines.mean(), abs=1e-5)
    assert judged.worst == pytest.approx(cosines.min(), abs=1e-5)


def test_curves_are_written_for_tensorboard(room: Classroom, tmp_path: Path) -> None:
    accelerator = Accelerator(log_with="tensorboard", project_dir=str(tmp_path))
    accelerator.init_trackers("curves")
    train(
        room.trainee(),
        Phase("float", 1, 1e-3),
        replace(room.school(tmp_path), accelerator=accelerator),
    )
    (events,) = (tmp_path / "curves").rglob("events*")
    data = events.read_bytes()
    for name in ("float/loss", "float/alignment", "float/lr", "float/held-out cosine"):
        assert name.encode() in data


def test_the_learning_rate_rises_in_a_line_and_falls_as_a_cosine() -> None:
    at = curve(20, 0.2)
    assert [at(step) for step in range(5)] == [0.25, 0.5, 0.75, 1, 1]
    assert at(8) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    assert at(12) == pytest.approx(0.5)
    assert at(16) == pytest.approx((1 - math.cos(math.pi / 4)) / 2)
    assert at(20) == 0
    assert at(25) == 0  # not up again
    assert curve(10, 0)(0) == 1
    assert curve(1, 1)(0) == 1


@given(st.integers(1, 1000), st.floats(0, 1))
def test_the_learning_rate_is_a_share_of_its_highest(steps: int, warmup: float) -> None:
    found = [curve(steps, warmup)(step) for step in range(steps)]
    assert all(0 <= rate <= 1 for rate in found)
    assert max(found) == 1
    assert found[0] > 0


def test_only_matrices_decay(room: Classroom) -> None:
    trainee = room.trainee()
    decaying, others = groups(trainee, 0.05)
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.05, 0)
    names = {id(parameter): name for name, parameter in trainee.named_parameters()}
    decays = {names.pop(id(parameter)) for parameter in decaying["params"]}
    rest = {names.pop(id(parameter)) for parameter in others["params"]}
    assert not names
    assert {"student.head.weight", "student.backbone.blocks.0.attn.qkv.weight"} <= decays
    assert {"student.head.bias", "student.backbone.norm.weight", "alignment.logits"} <= rest
    assert {"student.backbone.pos_embed", "student.backbone.cls_token"} <= rest
    assert "alignment.projections.0.0.weight" in decays


@pytest.mark.parametrize(
    ("batch", "chunk", "pictures", "processes", "share"),
    [
        (64, 16, 1000, 1, 64),
        (64, 16, 1000, 4, 16),
        (64, 64, 1000, 4, 16),
        (64, 64, 59, 1, 59),  # all there are
        (64, 8, 59, 1, 56),  # as many whole chunks
        (64, 8, 59, 2, 24),
        (64, 8, 5, 1, 5),
        (64, 16, 48, 2, 16),
    ],
)
def test_a_batch_is_shared_among_processes(
    batch: int, chunk: int, pictures: int, processes: int, share: int
) -> None:
    assert share_of(Recipe(batch=batch, chunk=chunk), pictures, processes) == share


@pytest.mark.parametrize(
    ("batch", "chunk", "processes"), [(64, 48, 1), (65, 8, 2), (64, 24, 2), (2, 1, 3)]
)
def test_a_batch_that_cannot_be_shared_is_refused(batch: int, chunk: int, processes: int) -> None:
    with pytest.raises(ConfigError, match=rf"found {batch}; choose another --batch or --chunk"):
        share_of(Recipe(batch=batch, chunk=chunk), 1000, processes)


def test_the_note_says_how_far_it_is(learn: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(Broken):
        learn(stop=6)  # the second epoch's last
    note = json.loads((tmp_path / "work" / "float" / "last" / "progress.json").read_text())
    assert (note["standing"]["epoch"], note["standing"]["step"]) == (1, 2)
    assert len(note["standing"]["history"]) == 2
