"""Exports a trained student, quantizes it, compares it with its teacher and writes its bundle.

There are one or two candidates: the student after float training, and after the quantization-aware
phase. Each is exported, and its INT8 graph must pass the same gate as that of any other build. The
bundle holds one candidate in all its precisions: the one whose INT8 graph passes and agrees best
with the teacher, or the float student if none passes. Text graphs, tokenizer and all other files
are those of the teacher.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray

from edge.model.bundle.golden import Golden
from edge.model.bundle.manifest import ImageSpec, ModelFacts, TeacherFacts
from edge.model.bundle.read import Bundle
from edge.video.preprocess import Preprocessor
from export.bundle.pack import Artefact, golden_npz, write_bundle
from export.bundle.targets import Target
from export.compare.likeness import prompts_of
from export.distill import pupils
from export.distill.data import augment
from export.distill.data.pictures import PictureSet
from export.distill.data.training_set import TrainingSet
from export.distill.students import Student
from export.distill.training.qat import Site, in_run_order, ranges_of
from export.families.base import Part
from export.families.towers import ImageTower, image_part
from export.graph.pixels import fold_pixels
from export.graph.reshape import simplify, to_bytes
from export.graph.to_onnx import to_onnx
from export.proof.agreement import Prompts
from export.proof.card import Card, Pupil, these_conditions
from export.proof.card_files import card_files
from export.proof.questions import Questions
from export.proof.reference import Exam, exam_of
from export.proof.sentences import SENTENCES
from export.variants import Made, make_variants

# Most pictures for INT8 ranges, most held-out pictures for all measurements, and golden samples.
_CALIBRATION: Final = 128
_HELD_OUT: Final = 256
_GOLDEN: Final = 8
# Roles and names of the teacher's files that a student keeps, besides the text graph.
_KEPT: Final = ("tokenizer", "axes")
_LICENCES: Final = ("LICENSE", "CARD")
_LIMIT: Final = (
    "Whether the teacher is right, and what the student makes of pictures unlike those that it was "
    "taught with."
)


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A student at the end of a phase.

    Attributes:
        name: Method that makes its INT8 graph: ``PTQ`` or ``QAT``.
        student: The student in eval mode.
        sites: Layers with quantizers; empty without quantizers.
    """

    name: str
    student: Student
    sites: Sequence[Site] = ()


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredPictures:
    """Pictures on which a result is measured.

    Attributes:
        calibration: Inputs of the student from training pictures, int8 [M, 3, H, W].
        held_out: Inputs of the student from held-out pictures, int8 [N, 3, H, W].
        reference: Embeddings of the held-out pictures by the teacher, float32 [N, D].
    """

    calibration: NDArray[np.int8]
    held_out: NDArray[np.int8]
    reference: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class _Examined:
    """A candidate with its graph and all measurements."""

    name: str
    graph: onnx.ModelProto
    exam: Exam
    made: Sequence[Made]
    int8: Pupil | None
    int8_passed: bool


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """A written bundle and its comparison with the teacher.

    Attributes:
        bundle: The written bundle.
        pupils: Rows of the comparison of teacher and students.
        left_out: Reasons why variants failed their gate, by name of the variant.
        notes: Notes for a person, one sentence each.
    """

    bundle: Bundle
    pupils: tuple[Pupil, ...]
    left_out: Mapping[str, Sequence[str]]
    notes: tuple[str, ...]


def see(training_set: TrainingSet, spec: ImageSpec) -> MeasuredPictures:
    """Take evenly spaced pictures from the training set."""
    train, held_out = (
        [indices[place] for place in _spread(len(indices), most)]
        for indices, most in (
            (training_set.train, _CALIBRATION),
            (training_set.held_out, _HELD_OUT),
        )
    )
    return MeasuredPictures(
        _pixels(training_set.pictures, train, spec),
        _pixels(training_set.pictures, held_out, spec),
        training_set.plain.embeddings(held_out),
    )


def build_result(
    teacher: Bundle,
    student: str,
    spec: ImageSpec,
    candidates: Sequence[Candidate],
    seen: MeasuredPictures,
    out: Path,
    targets: Collection[Target],
) -> Result:
    """Measure the candidates, and write the bundle ``out``.

    Args:
        teacher: Bundle of the teacher.
        student: Name of the network.
        spec: Input format of the student.
        candidates: Candidates, the float student first.
        seen: Pictures for calibration and measurement.
        out: Directory of the bundle.
        targets: Targets of the bundle.

    Raises:
        ModelError: A student cannot be exported, or ``out`` cannot be written.
    """
    prompts = prompts_of(teacher, "onnxruntime", SENTENCES)
    examined = [_examine(one, spec, seen, prompts, targets) for one in candidates]
    passed = [one for one in examined if one.int8 is not None and one.int8_passed]
    chosen = max(passed, key=lambda one: one.int8.mean_cosine if one.int8 else 0.0, default=None)
    kept = chosen or examined[0]
    float_teacher = onnx.load_model_from_string(teacher.read("image", "fp32"))
    side_by_side = [
        pupils.pupil("teacher fp32", float_teacher, seen.reference, seen.reference, prompts),
        *(
            pupils.pupil(
                "student fp32" if one is examined[0] else f"student fp32, {one.name}",
                one.graph,
                one.exam.answers["embedding"],
                seen.reference,
                prompts,
                packed=one is kept,
            )
            for one in examined
        ),
        *(replace(one.int8, packed=one is chosen) for one in examined if one.int8 is not None),
    ]
    facts = _facts(teacher, student, spec, kept.graph)
    card = Card(
        name=facts.name,
        model=facts.model,
        variants=[one.variant for one in kept.made if one.variant is not None],
        refused={one.name: one.refused for one in kept.made if one.refused is not None},
        inputs={"frames": "held-out pictures, none of them trained on"},
        prompts=SENTENCES,
        threshold=facts.decision.threshold,
        conditions=these_conditions("torch", "onnxruntime", "openvino"),
        limits=(_LIMIT,),
        pupils=side_by_side,
    )
    golden: Golden = {
        "image": kept.exam.golden(facts, "image", _GOLDEN),
        "text": teacher.golden()["text"],
    }
    files = {
        **{name: file for one in kept.made if one.passed for name, file in one.files.items()},
        **_kept(teacher),
        "golden.npz": Artefact("golden", golden_npz(golden)),
        **card_files(card),
    }
    notes = tuple(f"{one.name}: {one.note}" for one in kept.made if one.note)
    bundle = write_bundle(out, facts, files)
    return Result(bundle, tuple(side_by_side), card.left_out, notes)


def _examine(
    candidate: Candidate,
    spec: ImageSpec,
    seen: MeasuredPictures,
    prompts: Prompts,
    targets: Collection[Target],
) -> _Examined:
    graph = graph_of(candidate.student, spec)
    exam = exam_of(_part(candidate.student, spec), spec, {"pixels": seen.held_out})
    questions = Questions(
        exam,
        [{"pixels": row[None]} for row in seen.calibration],
        prompts=prompts,
        ranges=ranges_of(candidate.sites, graph) if candidate.sites else None,
    )
    made = make_variants("image", graph, questions, targets, "frames")
    (variant,) = (one for one in made if one.name == pupils.INT8)
    if not variant.files:  # nothing could be measured
        return _Examined(candidate.name, graph, exam, made, int8=None, int8_passed=False)
    data = variant.files[pupils.INT8].data
    int8 = pupils.pupil(
        f"student int8, {candidate.name}",
        onnx.load_model_from_string(data),
        pupils.embeddings(data, seen.held_out),
        seen.reference,
        prompts,
    )
    return _Examined(candidate.name, graph, exam, made, int8, variant.passed)


def graph_of(student: Student, spec: ImageSpec) -> onnx.ModelProto:
    """Float graph of the student, from int8 pixels, constants folded, without quantizers."""
    traced = fold_pixels(to_onnx(_part(student, spec)), "pixel_values", spec.mean, spec.std)
    return in_run_order(simplify(traced), traced)


def _part(student: Student, spec: ImageSpec) -> Part:
    return image_part(ImageTower(student.embed, student), spec.height, spec.width)


def _facts(teacher: Bundle, student: str, spec: ImageSpec, graph: onnx.ModelProto) -> ModelFacts:
    manifest = teacher.manifest
    model = manifest.model
    taught = TeacherFacts(
        name=manifest.name,
        hash=teacher.hash,
        family=model.family,
        id=model.id,
        revision=model.revision,
    )
    described = model.model_copy(
        update={
            "id": f"{student} taught by {model.id}",
            "revision": hashlib.sha256(to_bytes(graph)).hexdigest()[:16],
            "teacher": taught,
        }
    )
    facts = manifest.model_dump(by_alias=True, exclude={"files"})
    return ModelFacts(
        **facts
        | {
            "name": f"{manifest.name}-{student}".lower(),
            "model": described.model_dump(),
            "image": spec.model_dump(),
        }
    )


def _kept(teacher: Bundle) -> dict[str, Artefact]:
    """Text files of the teacher, and the licence files that must accompany them."""
    text = {file.file for file in teacher.manifest.files if file.role == "text"}
    weights = {f.weights for f in teacher.manifest.files if f.file in text and f.weights}
    kept = {}
    for file in teacher.manifest.files:
        licence = file.role == "card" and file.file.startswith(_LICENCES)
        if file.file in text | weights or file.role in _KEPT or licence:
            kept[file.file] = Artefact(
                file.role,
                teacher.read_file(file),
                file.precision,
                file.min_cosine,
                file.format,
                file.weights,
            )
    return kept


def _pixels(pictures: PictureSet, indices: Sequence[int], spec: ImageSpec) -> NDArray[np.int8]:
    preprocess = Preprocessor(spec)
    return np.stack([augment.pixels(pictures[index].rgb, preprocess) for index in indices])


def _spread(count: int, most: int) -> NDArray[np.intp]:
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))
