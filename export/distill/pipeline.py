"""Distils a teacher's bundle into a student's bundle, step by step; each step has its own module.

Several processes of ``accelerate launch`` may run this in parallel. The first process alone does
what is needed once: it prepares pictures, runs the teacher and writes the bundle.
"""

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.progress import Progress

from edge.errors import ConfigError
from edge.model.bundle.manifest import ImageSpec
from edge.model.bundle.read import Bundle, open_bundle
from export.bundle.pack import workplace
from export.bundle.targets import TARGETS, Target
from export.distill import students
from export.distill.align import Alignment
from export.distill.data.picture_sources import PictureOptions
from export.distill.data.pictures import prepare
from export.distill.data.training_set import TrainingSet, gather_training_set
from export.distill.recipe import Recipe, fingerprint
from export.distill.result import Candidate, MeasuredPictures, Result, build_result, see
from export.distill.students import Student
from export.distill.teacher import LAYERS, Teacher
from export.distill.training.head_start import begin_head
from export.distill.training.qat import Site, insert_quantizers, observe
from export.distill.training.states import TrainingState
from export.distill.training.train import Phase, School, train
from export.distill.training.trainee import Trainee

# Pictures from which the quantization-aware phase takes its first ranges.
_OBSERVED = 64


@dataclass(frozen=True, slots=True)
class Distillation:
    """Request for a distillation.

    Attributes:
        teacher: Directory of the teacher's bundle.
        student: Key of ``students.STUDENTS``, or name of a network of timm.
        data: Folders with pictures and videos, and shards of WebDataset.
        out: Directory of the student's bundle.
        work: Folder of the pictures, answers and states from which an interrupted run continues.
        size: Height and width of the student's input in pixels; None means the teacher's.
        weights: safetensors file of the student's first weights, by timm's names.
        pretrained: Whether the student begins with timm's own weights, from the hub.
        layers: Most layers of the teacher with which the student is aligned.
        recipe: Recipe of the training.
        pictures: Options of the prepared pictures.
        max_skipped: Largest share of files and samples that may be broken, 0..1.
        targets: Targets of the bundle.
        device: Device of the teacher, by ONNX Runtime's name.
        workers: Processes that prepare pictures; 0 prepares them in the training process.
    """

    teacher: Path
    student: str
    data: Sequence[Path]
    out: Path
    work: Path
    size: tuple[int, int] | None = None
    weights: Path | None = None
    pretrained: bool = False
    layers: int = LAYERS
    recipe: Recipe = field(default_factory=Recipe)
    pictures: PictureOptions = field(default_factory=PictureOptions)
    max_skipped: float = 0.1
    targets: Sequence[Target] = TARGETS[:1]
    device: str = "CPU"
    workers: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Distilled:
    """Outcome of a distillation.

    Attributes:
        result: The bundle and its comparison with the teacher; None in all processes but the first.
        pictures: Number of pictures trained on and held out, and of files and samples skipped.
        phases: Final state of each phase, by name.
    """

    result: Result | None
    pictures: dict[str, int]
    phases: dict[str, TrainingState]


def distill(request: Distillation, progress: Progress) -> Distilled:
    """Train a student, and write its bundle.

    Raises:
        ConfigError: An option is wrong, or does not match the content of ``request.work``.
        ModelError: The teacher or the pictures are damaged, a loss is not finite, or the disk
            cannot be written.
    """
    with workplace(request.out):
        pass  # an unusable place is refused before the work
    recipe = request.recipe
    accelerator = _accelerator(request)
    bundle = open_bundle(request.teacher)
    teacher = Teacher(bundle, request.layers if recipe.weights.alignment else 0, request.device)
    try:
        student, spec = _student(request, bundle)
        with accelerator.main_process_first():
            pictures = prepare(
                request.data,
                request.work / "pictures",
                **asdict(request.pictures),
                max_skipped=request.max_skipped,
                progress=progress,
            )
            answers = request.work / "answers"
            training_set = gather_training_set(teacher, pictures, recipe, answers, progress)
        alignment = _alignment(student, teacher, recipe)
    finally:
        teacher.close()
    school = _school(request, training_set, spec, accelerator, bundle, progress)
    trainee = Trainee(student, alignment, spec, recipe.weights.alignment)
    if request.weights is not None or request.pretrained:
        begin_head(trainee, school)
    phases = {"float": train(trainee, Phase("float", recipe.epochs, recipe.lr), school)}
    seen = see(training_set, spec)
    candidates = [Candidate("PTQ", student.eval())]
    if recipe.qat_epochs:
        rounded = _copied(request, bundle, trainee, spec)
        sites = _quantized(rounded, seen)
        phase = Phase("qat", recipe.qat_epochs, recipe.qat_lr, frozen_norms=True)
        school = replace(school, accelerator=_accelerator(request))
        phases["qat"] = train(rounded, phase, school)
        candidates.append(Candidate("QAT", rounded.student.eval(), sites))
    result = None
    if school.accelerator.is_main_process:
        for candidate in candidates:
            candidate.student.cpu()
        name = students.full_name(request.student)
        result = build_result(bundle, name, spec, candidates, seen, request.out, request.targets)
    school.accelerator.end_training()
    counts = {
        "trained on": len(training_set.train),
        "held out": len(training_set.held_out),
        "skipped": len(pictures.skipped),
    }
    return Distilled(result, counts, phases)


def _accelerator(request: Distillation) -> Accelerator:
    accelerator = Accelerator(
        mixed_precision=request.recipe.mixed_precision,
        log_with="tensorboard",
        project_dir=str(request.work),
    )
    accelerator.init_trackers("curves")
    torch.manual_seed(request.recipe.seed + accelerator.process_index)
    return accelerator


def _student(request: Distillation, teacher: Bundle) -> tuple[Student, ImageSpec]:
    image = teacher.manifest.image
    size = request.size or (image.height, image.width)
    if abs(size[0] * image.width - size[1] * image.height) > 0.1 * size[0] * image.width:
        raise ConfigError(
            f"--size: expected the shape of the teacher's pictures, {image.height}x{image.width}, "
            f"found {size[0]}x{size[1]}: both must see the same part of a picture"
        )
    student = students.create(
        request.student,
        teacher.manifest.dim,
        size,
        seed=request.recipe.seed,
        weights=request.weights,
        pretrained=request.pretrained,
    )
    return student, students.image_spec(student, size, image)


def _copied(request: Distillation, teacher: Bundle, trainee: Trainee, spec: ImageSpec) -> Trainee:
    """Copy a trainee to the CPU, because accelerate may have changed the original's ``forward``."""
    student, _ = _student(replace(request, weights=None, pretrained=False), teacher)
    student.load_state_dict(trainee.student.state_dict())
    alignment = copy.deepcopy(trainee.alignment)
    return Trainee(student, alignment, spec, request.recipe.weights.alignment).cpu()


def _alignment(student: Student, teacher: Teacher, recipe: Recipe) -> Alignment | None:
    if not recipe.weights.alignment or not teacher.shapes:
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return Alignment(student.map_channels, teacher.shapes, recipe.base)


def _school(
    request: Distillation,
    training_set: TrainingSet,
    spec: ImageSpec,
    accelerator: Accelerator,
    teacher: Bundle,
    progress: Progress,
) -> School:
    facts: dict[str, Any] = {
        "teacher": teacher.hash,
        "student": students.full_name(request.student),
        "size": [spec.height, spec.width],
        "weights": None if request.weights is None else students.digest(request.weights),
        "pretrained": request.pretrained,
        "layers": request.layers,
        "pictures": training_set.pictures.digest,
    }
    return School(
        training_set=training_set,
        recipe=request.recipe,
        spec=spec,
        work=request.work,
        accelerator=accelerator,
        progress=progress,
        fingerprint=fingerprint(request.recipe, facts),
        workers=request.workers,
    )


def _quantized(trainee: Trainee, seen: MeasuredPictures) -> list[Site]:
    """Insert quantizers into the student, with first ranges from training pictures."""
    trainee.eval()
    pixels = torch.from_numpy(seen.calibration[:_OBSERVED])
    sites = insert_quantizers(trainee.student, torch.zeros(2, *pixels.shape[1:]))
    observe(trainee.student, sites, (trainee.normalised(part) for part in torch.split(pixels, 8)))
    return sites
