"""Trains one phase: steps, a held-out evaluation after each epoch, and early stopping.

``accelerate`` provides devices, processes and mixed precision; this module decides the
order of the training set and the end of a phase. The same command on one process and on several,
with the same batch in the same chunks, takes the same steps.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from rich.progress import Progress
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from edge.errors import ModelError
from edge.model.bundle.manifest import ImageSpec
from export.distill.data.training_set import Batch, TrainingSet, batches, order
from export.distill.recipe import Recipe
from export.distill.training.optimization import curve, groups, share_of
from export.distill.training.states import Checkpoints, TrainingState
from export.distill.training.trainee import HeldOut, Trainee, held_out, joint_loss
from export.distill.training.two_pass import backward

_EVALUATED: Final = 32  # pictures in a batch of an evaluation
# Steps between two states on disk, besides the state after each epoch.
_SAVE_EVERY: Final = 200


@dataclass(frozen=True, slots=True)
class Phase:
    """Settings of one phase.

    Attributes:
        name: Name of the phase, its folder and its curves.
        epochs: Most epochs.
        lr: Highest learning rate.
        frozen_norms: Whether batch normalizations keep their running means.
    """

    name: str
    epochs: int
    lr: float
    frozen_norms: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class School:
    """Settings that all phases share.

    Attributes:
        training_set: Training set of the student.
        recipe: Recipe of the training.
        spec: Input format of the student.
        work: Folder of states and curves.
        accelerator: Devices and processes. Each phase has an accelerator of its own, with equal
            settings.
        progress: Display that is advanced per step.
        workers: Processes that prepare pictures; 0 prepares them in the training process.
        fingerprint: Fingerprint of the whole training.
        on_step: Callback with the number of each step and its loss, for tests and studies.
    """

    training_set: TrainingSet
    recipe: Recipe
    spec: ImageSpec
    work: Path
    accelerator: Accelerator
    progress: Progress
    fingerprint: str
    workers: int = 0
    on_step: Callable[[int, float], None] = lambda _step, _loss: None


def train(trainee: Trainee, phase: Phase, school: School) -> TrainingState:
    """Train until the held-out loss stops improving or ``phase.epochs`` are over.

    An interrupted phase resumes from its last state. Afterwards ``trainee.student`` has the weights
    of the smallest held-out loss, which may be the first weights.

    Raises:
        ConfigError: The batch does not divide, or the state on disk is of another training.
        ModelError: A loss is not finite, or the disk cannot be written. The last good state is
            kept.
    """
    accelerator, recipe = school.accelerator, school.recipe
    checkpoints = Checkpoints(school.work / phase.name, f"{school.fingerprint}-{phase.name}")
    standing = checkpoints.standing()
    if standing is not None and standing.done:
        checkpoints.load_best(trainee)
        return standing
    share = share_of(recipe, len(school.training_set.train), accelerator.num_processes)
    per_epoch = len(order(school.training_set, 0, share * accelerator.num_processes))
    optimizer: Any = torch.optim.AdamW(groups(trainee, recipe.weight_decay), lr=phase.lr)
    schedule: Any = LambdaLR(optimizer, curve(per_epoch * phase.epochs, recipe.warmup))
    model, optimizer = accelerator.prepare(trainee, optimizer)
    accelerator.register_for_checkpointing(schedule)
    if standing is not None:
        checkpoints.load(accelerator)
    else:
        standing = TrainingState()
        _judge(trainee, phase, school, standing, checkpoints)
    steps = _Steps(model, trainee, phase, school, share)
    task = school.progress.add_task(
        phase.name,
        total=per_epoch * phase.epochs,
        completed=standing.epoch * per_epoch + standing.step,
    )
    try:
        while standing.epoch < phase.epochs and standing.waiting < recipe.patience:
            for losses in steps.of(standing, optimizer, schedule):
                standing.step += 1
                done = standing.epoch * per_epoch + standing.step
                school.on_step(done, losses["loss"])
                accelerator.log(
                    {f"{phase.name}/{name}": value for name, value in losses.items()}, step=done
                )
                school.progress.update(
                    task, completed=done, description=f"{phase.name}: loss {losses['loss']:.4f}"
                )
                if standing.step % _SAVE_EVERY == 0:
                    if not all(bool(one.isfinite().all()) for one in trainee.parameters()):
                        raise _diverged(phase, school, "finite weights, found others")
                    checkpoints.save(accelerator, standing)
            _judge(trainee, phase, school, standing, checkpoints)
            standing.epoch, standing.step = standing.epoch + 1, 0
            checkpoints.save(accelerator, standing)
        standing.done = True
        checkpoints.save(accelerator, standing)
    finally:
        school.progress.remove_task(task)
        for tracker in accelerator.trackers:
            tracker.finish()
    checkpoints.load_best(trainee)
    return standing


class _Steps:
    """Takes the steps of an epoch."""

    def __init__(
        self, model: nn.Module, trainee: Trainee, phase: Phase, school: School, share: int
    ) -> None:
        self._model, self._trainee = model, trainee
        self._phase, self._school = phase, school
        self._share = share
        self._bank = torch.from_numpy(school.training_set.bank).to(school.accelerator.device)

    def of(
        self, standing: TrainingState, optimizer: Any, schedule: Any
    ) -> Iterator[dict[str, float]]:
        """Take the remaining steps of an epoch, and yield the losses of each step."""
        school, accelerator = self._school, self._school.accelerator
        first = accelerator.process_index * self._share
        steps = order(school.training_set, standing.epoch, self._share * accelerator.num_processes)
        mine = [step[first : first + self._share] for step in steps[standing.step :]]
        self._model.train()
        if self._phase.frozen_norms:
            freeze_norms(self._trainee)
        began = time.perf_counter()
        for batch in batches(school.training_set, school.spec, mine, school.workers):
            losses = self._step(batch.to(accelerator.device), optimizer, schedule)
            now = time.perf_counter()
            speed = self._share * accelerator.num_processes / (now - began)
            began = now
            yield losses | {"pictures_per_s": speed}

    def _step(self, batch: Batch, optimizer: Any, schedule: Any) -> dict[str, float]:
        school, accelerator, recipe = self._school, self._school.accelerator, self._school.recipe
        teacher = accelerator.gather(batch.embedding)
        captions = accelerator.gather(batch.captions) if batch.captions.shape[1] else None
        empty = torch.empty(len(teacher), 0, device=teacher.device)

        def joint(embedding: Tensor) -> Tensor:
            texts = empty if captions is None else captions
            return joint_loss(
                embedding, teacher, texts, self._bank, school.training_set.scale, recipe.weights
            )

        def forward(part: Batch) -> tuple[Tensor, Tensor]:
            aligned = self._trainee.alignment is not None
            with accelerator.autocast():
                embedding, own = self._model(part.pixels, part.maps if aligned else [])
            return embedding, own

        optimizer.zero_grad()
        chunks = batch.split(min(recipe.chunk, self._share))
        losses = backward(self._model, forward, chunks, joint, accelerator)
        own = accelerator.reduce(losses.own, "mean")
        total = float(losses.joint + own)
        if not math.isfinite(total):
            raise _diverged(self._phase, school, f"a finite loss, found {total}")
        optimizer.step()
        schedule.step()
        lr = float(optimizer.param_groups[0]["lr"])
        return {"loss": total, "joint": float(losses.joint), "alignment": float(own), "lr": lr}


def freeze_norms(model: nn.Module) -> None:
    """Make batch normalizations use their running means, and keep them."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):  # noqa: SLF001 the common base
            module.eval()


def evaluate(trainee: Trainee, school: School) -> HeldOut:
    """Compare the student with its teacher on the held-out pictures."""
    found = embed(trainee, school, school.training_set.held_out)
    return held_out(
        found,
        torch.from_numpy(school.training_set.plain.embeddings(school.training_set.held_out)),
        torch.from_numpy(school.training_set.bank),
        school.training_set.scale,
        school.recipe.weights,
    )


def embed(trainee: Trainee, school: School, pictures: Sequence[int]) -> Tensor:
    """Embeddings of the pictures themselves, float32 [N, D] on the CPU, through any quantizers."""
    return outputs(trainee, school, pictures, lambda pixels: trainee.student(pixels)[0])


def outputs(
    trainee: Trainee,
    school: School,
    pictures: Sequence[int],
    network: Callable[[Tensor], Tensor],
) -> Tensor:
    """Outputs of a part of the student for the pictures themselves, float32 [N, F] on the CPU.

    The student is in eval mode, as on the device: without dropout, and with running means.
    """
    steps = [
        [(index, 0) for index in pictures[at : at + _EVALUATED]]
        for at in range(0, len(pictures), _EVALUATED)
    ]
    rows = []
    with _evaluating(trainee), torch.no_grad():
        for batch in batches(school.training_set, school.spec, steps):
            pixels = batch.pixels.to(school.accelerator.device)
            rows.append(network(trainee.normalised(pixels)).float().cpu())
    return torch.cat(rows)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    was = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was)


def _judge(
    trainee: Trainee,
    phase: Phase,
    school: School,
    standing: TrainingState,
    checkpoints: Checkpoints,
) -> None:
    """Evaluate held-out pictures in the first process; keep the best student so far."""
    accelerator = school.accelerator
    shared: list[Any] = [None]
    if accelerator.is_main_process:
        found = evaluate(trainee, school)
        shared = [asdict(found)]
        if found.loss < standing.best:
            checkpoints.keep_best(trainee)
    if accelerator.num_processes > 1:
        broadcast_object_list(shared)
    record: dict[str, float] = shared[0]
    if not math.isfinite(record["loss"]):
        raise _diverged(phase, school, f"a finite held-out loss, found {record['loss']}")
    better = record["loss"] < standing.best
    standing.best = min(standing.best, record["loss"])
    standing.waiting = 0 if better else standing.waiting + 1
    standing.history.append(record)
    curves = {f"{phase.name}/held-out {name}": value for name, value in record.items()}
    accelerator.log(curves, step=len(standing.history) - 1)
    accelerator.wait_for_everyone()


def _diverged(phase: Phase, school: School, found: str) -> ModelError:
    return ModelError(
        f"expected {found}; the last good state, if any, is in {school.work / phase.name}; start "
        "again with a smaller --lr"
    )
