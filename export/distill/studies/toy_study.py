"""Compares the losses on scenes small enough for many seeds: ``make distill-study``.

A teacher (a ViT of four blocks) learns 30 kinds of scenes, and with them a space in which each kind
has a vector. A small convolutional student then learns that space in several ways, each from the
same weights, on the same scenes in the same order, for the same number of steps. *No teacher* is
the task alone: the student learns from the kind of each scene, and the vectors of the kinds are the
teacher's, as teacher and student of a CLIP share the text tower.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import mean
from typing import Annotated, Final

import numpy as np
import torch
import typer
from rich.console import Console
from rich.progress import Progress, TimeRemainingColumn
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional

from edge.system import command_line
from export.distill.align import Alignment, Base, MapShape
from export.distill.studies.toy_scenes import KINDS, SIDE, scenes
from export.distill.training.losses import mimicry, relational
from export.families.towers import unit

_DIM: Final = 32
_WIDTH: Final = 64
_PATCH: Final = 4
_BLOCKS: Final = 4
_CHANNELS: Final = (16, 32, 64)
_BATCH: Final = 64
_SCALE: Final = 10.0
_TRAIN, _HELD_OUT = 2048, 512


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to teach: weights of the losses; ``task`` is the loss on the kind of each scene."""

    task: float = 0.0
    mimicry: float = 0.0
    relational: float = 0.0
    alignment: float = 0.0
    base: Base = "student"


ARMS: Final[Mapping[str, Arm]] = {
    "no teacher": Arm(task=1),
    "mimicry": Arm(mimicry=1),
    "mimicry + relational": Arm(mimicry=1, relational=1),
    "mimicry + student as base": Arm(mimicry=1, alignment=1),
    "mimicry + teacher as base": Arm(mimicry=1, alignment=1, base="teacher"),
    "all, student as base": Arm(mimicry=1, relational=1, alignment=1),
}


@dataclass(frozen=True, slots=True)
class ArmResult:
    """Mean cosine to the teacher and share of the same first choice, on held-out scenes."""

    cosine: float
    same_choice: float


class ToyTeacher(nn.Module):
    """ViT from scenes [N, 3, S, S] to unit rows [N, D] and the maps of its blocks."""

    def __init__(self) -> None:
        super().__init__()
        places = (SIDE // _PATCH) ** 2
        self.patches = nn.Conv2d(3, _WIDTH, _PATCH, _PATCH)
        self.positions = nn.Parameter(torch.randn(1, places, _WIDTH) * 0.02)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                _WIDTH, 4, 2 * _WIDTH, dropout=0.0, batch_first=True, norm_first=True
            )
            for _ in range(_BLOCKS)
        )
        self.head = nn.Linear(_WIDTH, _DIM)
        self.kinds = nn.Parameter(torch.randn(KINDS, _DIM))

    def forward(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        tokens = self.patches(pictures).flatten(2).transpose(1, 2) + self.positions
        side = SIDE // _PATCH
        maps = []
        for block in self.blocks:
            tokens = block(tokens)
            maps.append(tokens.transpose(1, 2).unflatten(2, (side, side)))
        return unit(self.head(tokens.mean(dim=1))), maps


class ToyStudent(nn.Module):
    """Convolutional network from scenes [N, 3, S, S] to unit rows [N, D] and maps of its blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(into, out, 3, stride=2, padding=1), nn.GroupNorm(4, out), nn.ReLU()
            )
            for into, out in pairwise((3, *_CHANNELS))
        )
        self.head = nn.Linear(_CHANNELS[-1], _DIM)

    def forward(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        maps = []
        for block in self.blocks:
            pictures = block(pictures)
            maps.append(pictures)
        return unit(self.head(pictures.mean(dim=(2, 3)))), maps


def study(
    seed: int,
    steps: int = 300,
    teacher_steps: int = 600,
    arms: Mapping[str, Arm] = ARMS,
    done: Callable[[], None] = lambda: None,
) -> dict[str, ArmResult]:
    """Train one teacher and a student of each arm, and measure the students.

    Args:
        seed: Seed of scenes, weights and order.
        steps: Training steps of each student.
        teacher_steps: Training steps of the teacher.
        arms: Arms by name.
        done: Callback after the teacher and after each arm.
    """
    pictures, kinds = (torch.from_numpy(array) for array in scenes(_TRAIN, 2 * seed))
    held_out = torch.from_numpy(scenes(_HELD_OUT, 2 * seed + 1)[0])
    torch.manual_seed(seed)
    teacher = _teach(ToyTeacher(), pictures, kinds, teacher_steps, seed)
    with torch.no_grad():
        bank = unit(teacher.kinds)
        expected = teacher(held_out)[0]
    done()
    found = {}
    for name, arm in arms.items():
        torch.manual_seed(seed)  # the same weights for each arm
        student = _learn(ToyStudent(), teacher, arm, pictures, kinds, steps, seed)
        with torch.no_grad():
            embedding = student(held_out)[0]
        same = (embedding @ bank.T).argmax(dim=1) == (expected @ bank.T).argmax(dim=1)
        cosine = float((embedding * expected).sum(dim=1).mean())
        found[name] = ArmResult(cosine, float(same.float().mean()))
        done()
    return found


def _teach(
    teacher: ToyTeacher, pictures: Tensor, kinds: Tensor, steps: int, seed: int
) -> ToyTeacher:
    optimizer = torch.optim.AdamW(teacher.parameters(), lr=1e-3)
    for rows in _order(len(pictures), steps, seed):
        embedding, _ = teacher(pictures[rows])
        loss = functional.cross_entropy(_SCALE * embedding @ unit(teacher.kinds).T, kinds[rows])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return teacher.eval().requires_grad_(requires_grad=False)


def _learn(
    student: ToyStudent,
    teacher: ToyTeacher,
    arm: Arm,
    pictures: Tensor,
    kinds: Tensor,
    steps: int,
    seed: int,
) -> ToyStudent:
    side = SIDE // _PATCH
    shapes = [MapShape(_WIDTH, side, side)] * _BLOCKS
    alignment = Alignment(_CHANNELS, shapes, arm.base)
    bank = unit(teacher.kinds)
    optimizer = torch.optim.AdamW([*student.parameters(), *alignment.parameters()], lr=2e-3)
    for rows in _order(len(pictures), steps, seed + 1):
        with torch.no_grad():
            expected, layers = teacher(pictures[rows])
        embedding, maps = student(pictures[rows])
        loss = arm.task * functional.cross_entropy(_SCALE * embedding @ bank.T, kinds[rows])
        loss = loss + arm.mimicry * mimicry(embedding, expected)
        loss = loss + arm.relational * relational(embedding, expected, bank, _SCALE)
        if arm.alignment:
            loss = loss + arm.alignment * alignment(maps, layers)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return student.eval()


def _order(count: int, steps: int, seed: int) -> list[Tensor]:
    """Indices of the scenes of each step, drawn without repetition within an epoch."""
    random = np.random.default_rng(seed)
    per_epoch = count // _BATCH
    rows = [random.permutation(count)[: per_epoch * _BATCH] for _ in range(-(-steps // per_epoch))]
    return [torch.from_numpy(part) for part in np.concatenate(rows).reshape(-1, _BATCH)[:steps]]


def table(found: Sequence[Mapping[str, ArmResult]]) -> Table:
    """Table of each arm over all seeds, with the difference to mimicry alone on the same seed."""
    shown = Table(title=f"{len(found)} seeds: mean (lowest to highest)", box=None)
    for title in ("", "cosine to the teacher", "same first choice", "cosine against mimicry alone"):
        shown.add_column(title, justify="right" if title else "left")
    for name in ARMS:
        cosines = [one[name].cosine for one in found]
        gains = [one[name].cosine - one["mimicry"].cosine for one in found]
        better = f", better in {sum(gain > 0 for gain in gains)} of {len(gains)}"
        shown.add_row(
            name,
            _spread(cosines, ".3f"),
            _spread([one[name].same_choice for one in found], ".3f"),
            "" if name == "mimicry" else _spread(gains, "+.4f") + better,
        )
    return shown


def _spread(values: Sequence[float], form: str) -> str:
    return f"{mean(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def main(
    seeds: Annotated[int, typer.Option(min=1, help="How many.")] = 5,
    steps: Annotated[int, typer.Option(min=1, help="Of each student.")] = 300,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Teach toy students in several ways, over several seeds."""
    torch.set_num_threads(1)  # networks this small are slower on two
    progress = Progress(*Progress.get_default_columns(), TimeRemainingColumn(), transient=True)
    with progress:
        task = progress.add_task("seeds", total=seeds * (len(ARMS) + 1))
        found = [study(seed, steps, done=lambda: progress.advance(task)) for seed in range(seeds)]
    if as_json:
        typer.echo(json.dumps([{n: asdict(o) for n, o in one.items()} for one in found]))
    else:
        Console(highlight=False, width=140).print(table(found))


if __name__ == "__main__":
    command_line.run("distill-study", lambda: typer.run(main))
