"""Training: goes on bit for bit, stops where it must, the same on two processes as on one."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.progress import Progress

from benchmarks.broker import free_port
from edge.errors import ConfigError, ModelError
from export.distill import pipeline, train
from export.distill.answers import AnswerCache
from export.distill.checkpoints import Checkpoints
from export.distill.pipeline import distill
from export.distill.students import create
from export.distill.train import _curve, freeze_norms

SCRIPT = Path(__file__).with_name("distil_here.py")


def silent():
    return Progress(disable=True)


def best(request, phase="float"):
    return (request.work / phase / "best.safetensors").read_bytes()


class BrokenOffError(Exception):
    """What a test ends a training with."""


@pytest.fixture
def watched(monkeypatch):
    """Calls a function at each step, with its number and loss."""
    plain = pipeline._school

    def watch(on_step):
        monkeypatch.setattr(
            pipeline, "_school", lambda *args: replace(plain(*args), on_step=on_step)
        )

    return watch


def test_a_training_that_was_broken_off_goes_on_bit_for_bit(request_of, watched, monkeypatch):
    monkeypatch.setattr(train, "_SAVE_EVERY", 2)
    whole = request_of("whole", batch=8, epochs=2, qat_epochs=0)
    told = distill(whole, silent()).phases["float"].history
    broken = request_of("broken", batch=8, epochs=2, qat_epochs=0)

    def stop(step, _loss):
        if step == 8:
            raise BrokenOffError

    watched(stop)
    with pytest.raises(BrokenOffError):
        distill(broken, silent())
    standing = Checkpoints(broken.work / "float", "").folder / "last" / "progress.json"
    state = json.loads(standing.read_bytes())["standing"]
    assert (state["epoch"], state["step"]) == (1, 2)
    watched(lambda _step, _loss: None)
    assert distill(broken, silent()).phases["float"].history == told
    assert best(broken) == best(whole)


def test_a_finished_training_is_not_trained_again(request_of, watched):
    request = request_of(qat_epochs=0)
    distill(request, silent())
    steps = []
    watched(lambda step, _loss: steps.append(step))
    distill(request, silent())
    assert steps == []


def test_a_state_of_another_training_is_refused(request_of):
    request = request_of(qat_epochs=0)
    distill(request, silent())
    other = replace(request, recipe=replace(request.recipe, lr=2e-3))
    with pytest.raises(ConfigError, match="expected the state of this training, found one of"):
        distill(other, silent())


def test_a_damaged_state_is_told(request_of):
    request = request_of(qat_epochs=0)
    distill(request, silent())
    (request.work / "float" / "last" / "progress.json").write_text("{")
    with pytest.raises(ModelError, match="expected how far the training is"):
        distill(request, silent())


def test_a_loss_that_is_no_number_stops_and_the_last_good_state_stays(request_of, monkeypatch):
    request = request_of(epochs=2, qat_epochs=0)
    seen = AnswerCache.__getitem__
    shown = []

    def poisoned(cache, asked):
        found = seen(cache, asked)
        if asked[1]:  # a variation: only training asks for one
            shown.append(asked)
        if len(shown) > 40:  # after the first epoch
            return replace(found, embedding=found.embedding * np.nan)
        return found

    monkeypatch.setattr(AnswerCache, "__getitem__", poisoned)
    with pytest.raises(ModelError, match="expected a finite loss, found nan; the last good state"):
        distill(request, silent())
    checkpoints = Checkpoints(request.work / "float", "")
    student = create(request.student, 24, request.size)
    checkpoints.load_best(student)
    assert all(torch.isfinite(tensor).all() for tensor in student.state_dict().values())


def test_training_ends_when_nothing_improves(request_of, monkeypatch):
    plain = train.evaluate
    losses = iter([1.0, 0.5, 0.6, 0.7, 0.8])
    monkeypatch.setattr(train, "evaluate", lambda *args: replace(plain(*args), loss=next(losses)))
    request = request_of(epochs=9, qat_epochs=0, patience=2)
    standing = distill(request, silent()).phases["float"]
    assert [record["loss"] for record in standing.history] == [1.0, 0.5, 0.6, 0.7]
    assert standing.best == 0.5


def test_a_batch_that_does_not_divide_is_refused(request_of):
    with pytest.raises(ConfigError, match="divides into 1 processes and chunks of 5, found 16"):
        distill(request_of(chunk=5), silent())


def test_the_learning_rate_rises_and_falls_to_nothing():
    at = _curve(100, 0.1)
    assert [at(0), at(4), at(9)] == pytest.approx([0.1, 0.5, 1.0])
    assert at(10) == pytest.approx(1.0)
    assert at(55) == pytest.approx(0.5)
    assert at(100) == pytest.approx(0)


def test_frozen_norms_keep_their_means():
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3)).train()
    freeze_norms(model)
    model(torch.randn(8, 2))
    assert model[0].training
    assert torch.equal(model[1].running_mean, torch.zeros(3))


def words(request, *more):
    recipe = request.recipe
    return [str(word) for word in (
        request.teacher, request.data[0], request.out, request.work, recipe.batch, *more
    )]  # fmt: skip


@pytest.mark.slow
def test_a_killed_run_ends_like_one_that_was_not_killed(request_of, tmp_path):
    whole, killed = request_of("whole"), request_of("killed")
    command = [sys.executable, "-W", "ignore", str(SCRIPT)]
    subprocess.run([*command, *words(whole)], check=True, timeout=150)
    with subprocess.Popen([*command, *words(killed)]) as process:
        deadline = time.monotonic() + 120
        while not (killed.work / "float" / "last").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    subprocess.run([*command, *words(killed)], check=True, timeout=150)
    for phase in ("float", "qat"):
        assert best(killed, phase) == best(whole, phase)


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one_with_the_same_batch(request_of):
    one, two, half = request_of("one"), request_of("two"), request_of("half", batch=8)
    plain = [sys.executable, "-W", "ignore"]
    launch = [
        *plain, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2",
        "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
        "--main_process_port", str(free_port()),
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    curves = []
    for command, request in ((plain, one), (launch, two), (plain, half)):
        told = request.out.with_suffix(".json")
        subprocess.run(
            [*command, str(SCRIPT), *words(request, told)], check=True, timeout=170, env=environment
        )
        curves.append(json.loads(told.read_bytes()))
    steps = 3 * 2  # of the float phase; a rounding may tip over in the other
    assert curves[1][:steps] == pytest.approx(curves[0][:steps], rel=1e-5)
    assert curves[1] == pytest.approx(curves[0], rel=5e-3)
    assert curves[2][1:steps] != pytest.approx(curves[0][1:steps], rel=5e-3)
