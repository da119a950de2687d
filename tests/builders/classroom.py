"""Builds a small real distillation: tiny CLIP teaches a tiny network of timm.

Run as a program, it trains, as the tests do in processes of their own.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.progress import Progress

from edge.model.bundle.manifest import ImageSpec
from edge.model.bundle.read import Bundle, open_bundle
from export.distill import students
from export.distill.align import Alignment, MapShape
from export.distill.data.pictures import PictureSet, open_pictures
from export.distill.data.training_set import TrainingSet, gather_training_set
from export.distill.pipeline import Distillation, distill
from export.distill.recipe import Recipe
from export.distill.students import Student
from export.distill.teacher import Teacher
from export.distill.training import train
from export.distill.training.train import School
from export.distill.training.trainee import Trainee

RECIPE = Recipe(epochs=2, qat_epochs=1, batch=16, chunk=8, variations=2, held_out=0.2, warmup=0.2)
SIZE = (32, 32)
LAYERS = 2


@dataclass(frozen=True)
class Classroom:
    """A teacher's bundle, the training set of its answers, and its layers."""

    bundle: Bundle
    training_set: TrainingSet
    shapes: tuple[MapShape, ...]

    def student(self, name: str = "test_vit", seed: int = 0) -> Student:
        return students.create(name, self.bundle.manifest.dim, SIZE, seed=seed)

    def spec(self, student: Student) -> ImageSpec:
        return students.image_spec(student, SIZE, self.bundle.manifest.image)

    def trainee(self, student: Student | None = None) -> Trainee:
        student = student or self.student()
        torch.manual_seed(0)
        alignment = Alignment(student.map_channels, self.shapes)
        return Trainee(student, alignment, self.spec(student), 1.0)

    def school(
        self,
        work: Path,
        recipe: Recipe = RECIPE,
        training_set: TrainingSet | None = None,
        **facts: Any,
    ) -> School:
        accelerator = Accelerator()
        torch.manual_seed(recipe.seed)
        return School(
            training_set=training_set or self.training_set,
            recipe=recipe,
            spec=self.spec(self.student()),
            work=work,
            accelerator=accelerator,
            progress=Progress(disable=True),
            **{"fingerprint": "one", **facts},
        )


@contextmanager
def one_thread() -> Iterator[None]:
    """Networks this small are five times slower on two threads, and sums depend on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def prepare_room(
    bundle: Bundle, pictures: PictureSet, answers: Path, recipe: Recipe = RECIPE
) -> Classroom:
    """Ask the teacher, or read what it said before."""
    teacher = Teacher(bundle, LAYERS)
    try:
        training_set = gather_training_set(
            teacher, pictures, recipe, answers, Progress(disable=True)
        )
        return Classroom(bundle, training_set, teacher.shapes)
    finally:
        teacher.close()


def request_of(bundle: Path, data: Path, folder: Path) -> Distillation:
    """A whole distillation that leaves everything below ``folder``."""
    return Distillation(
        teacher=bundle,
        student="test_vit",
        data=[data],
        out=folder / "student",
        work=folder / "work",
        layers=LAYERS,
        recipe=RECIPE,
    )


def steps(bundle: Path, pictures: Path, folder: Path, batch: int, curve: Path) -> None:
    """Train, and write the loss of each step; perhaps in several processes."""
    recipe = replace(RECIPE, batch=batch)
    room = prepare_room(open_bundle(bundle), open_pictures(pictures), folder / "answers", recipe)
    losses: list[float] = []
    school = room.school(folder, recipe, on_step=lambda _step, loss: losses.append(loss))
    phase = train.Phase("float", recipe.epochs, recipe.lr)
    train.train(room.trainee(), phase, school)
    if school.accelerator.is_main_process:
        document = {"processes": school.accelerator.num_processes, "losses": losses}
        curve.write_text(json.dumps(document))
    school.accelerator.end_training()


def whole(bundle: Path, data: Path, folder: Path) -> None:
    """Distil, with a state on disk after every step."""
    train._SAVE_EVERY = 1  # type: ignore[misc]  # a state after every step
    distill(request_of(bundle, data, folder), Progress(disable=True))


if __name__ == "__main__":
    command, *words = sys.argv[1:]
    commands: dict[str, Callable[..., None]] = {"steps": steps, "whole": whole}
    run = commands[command]
    with one_thread():
        run(*(int(word) if word.isdecimal() else Path(word) for word in words))
