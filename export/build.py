"""A checkpoint to a bundle: open, export, reshape, quantize, verify, pack, sign.

Each step is a module of its own; this one only connects them, and says which step failed. What
takes long is kept (``export.cache``), so that a build that was broken off goes on where it was.
"""

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from rich.progress import Progress

from calibration.footage import clips_of, files_of, read_footage
from edge.errors import EdgeError
from edge.model.bundle.golden import Golden
from edge.model.bundle.manifest import ModelFacts, Role
from edge.model.bundle.read import Bundle
from edge.rules.text import Tokenizer
from edge.scoring.boxes import find_boxes
from export.bundle.pack import Artefact, golden_npz, workplace, write_bundle
from export.bundle.targets import TARGETS, Target
from export.cache import StepCache, cached, code_version, default_cache, step_key
from export.checkpoints.checkpoint import Checkpoint, open_checkpoint
from export.default_bundle.frames import default_frames
from export.families import assemble
from export.families.base import Assembly, Part
from export.graph import reshape, shapes, to_onnx
from export.packages.fetch import default_cache as package_cache
from export.proof import boxes
from export.proof.agreement import Prompts
from export.proof.card import Card, these_conditions
from export.proof.card_files import card_files
from export.proof.reference import (
    Arrays,
    Exam,
    captions_of,
    detector_rows,
    examine,
    sentence_vectors,
)
from export.proof.sentences import SENTENCES
from export.proof.verify import Matched
from export.variants import Made, Questions, make_variants

# A detector's frames are large, and its float original takes seconds for each.
_FRAMES: Final = {"F": 128, "C": 256, "P": 32}
_GOLDEN_ROWS: Final = {"F": 8, "C": 2, "P": 2}
# Boxes below are no detections worth comparing.
_SURE: Final = 0.25


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be built.

    Attributes:
        source: Name of the catalogue, hub repository, or directory.
        out: The bundle's directory.
        targets: What the bundle is for.
        revision: Of a hub repository.
        random_weights: Seed: the architecture without its weights.
        calibration: Folder or file with pictures and videos; None takes the default ones.
        frames: How many frames; half fix INT8 ranges, half measure what was lost.
        size: Height and width of a detector's pictures; None takes its default.
        offline: Touch no network.
    """

    source: str
    out: Path
    targets: Collection[Target] = TARGETS[:1]
    revision: str | None = None
    random_weights: int | None = None
    calibration: Path | None = None
    frames: int | None = None
    size: tuple[int, int] | None = None
    offline: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Built:
    """What came out.

    Attributes:
        left_out: Variants that failed their gate, and why.
        notes: What a person should know, a sentence each.
    """

    bundle: Bundle
    left_out: Mapping[str, Sequence[str]]
    notes: tuple[str, ...]


def build(request: Request, progress: Progress, cache: StepCache | None = None) -> Built:
    """Build the bundle ``request.out``.

    Raises:
        ConfigError: The source, or what should sign, is not there.
        ModelError: A step failed; the message begins with its name. Nothing is left half-written.
    """
    with workplace(request.out):
        pass  # refused now rather than after the work
    steps = _Steps(progress, total=6)
    with steps.step("open the checkpoint"):
        checkpoint = open_checkpoint(
            request.source, revision=request.revision, random_weights=request.random_weights
        )
        assembly = assemble(checkpoint, request.size)
    with steps.step("read calibration frames"):
        frames = read_frames(request, assembly.facts)
    with steps.step("export and reshape"):
        keep = cache or default_cache()
        graphs = {
            part.role: export_graph(part, assembly, checkpoint, keep) for part in assembly.parts
        }
    with steps.step("ask the float original"):
        exams = examine(assembly, frames[1::2])
    made: list[Made] = []
    with steps.step("quantize and verify"):
        questions = questions_of(assembly, graphs, exams, frames[0::2])
        for role, graph in graphs.items():
            with steps.part(role):
                inputs = _inputs(role, assembly.facts)
                made += make_variants(role, graph, questions[role], request.targets, inputs)
    with steps.step("pack"):
        bundle, card = _pack(request.out, assembly, exams, made)
    notes = tuple(f"{one.name}: {one.note}" for one in made if one.note)
    return Built(bundle, card.left_out, notes)


def read_frames(request: Request, facts: ModelFacts) -> NDArray[np.int8]:
    """Frames [N, 3, H, W], or clips of them [N, T, 3, H, W]."""
    count = request.frames or _FRAMES[facts.frame_class]
    if request.calibration is None:
        footage = default_frames(facts.image, package_cache(), count, offline=request.offline)
    else:
        footage = read_footage(files_of(request.calibration), facts.image, count=count)
    return clips_of(footage.frames, facts.frames) if facts.frames > 1 else footage.frames


def export_graph(
    part: Part, assembly: Assembly, checkpoint: Checkpoint, cache: StepCache
) -> onnx.ModelProto:
    """The part as ONNX: int8 pixels in, constants folded."""
    facts = assembly.facts
    key = step_key(
        "export",
        code_version(
            (to_onnx, reshape, shapes, sys.modules[type(part.module).__module__]),
            ("torch", "transformers", "onnx", "onnxruntime"),
        ),
        {"weights": checkpoint.origin.sha256},
        {"part": part.role, "facts": facts.model_dump(mode="json"), "opset": assembly.opset},
    )

    def export() -> dict[str, bytes]:
        model = to_onnx.to_onnx(part, assembly.opset)
        if part.pixels is not None:
            model = reshape.fold_pixels(model, part.pixels, facts.image.mean, facts.image.std)
        return {"graph.onnx": reshape.to_bytes(reshape.simplify(model))}

    return onnx.load_model_from_string(cached(cache, key, export)["graph.onnx"])


def questions_of(
    assembly: Assembly,
    graphs: Mapping[Role, onnx.ModelProto],
    exams: Mapping[Role, Exam],
    frames: NDArray[np.int8],
) -> dict[Role, Questions]:
    """What the variants of each graph are asked; ``frames`` fix the ranges of the first."""
    facts = assembly.facts
    main = facts.graphs[0]
    found = {role: Questions(exam) for role, exam in exams.items()}
    match facts.frame_class:
        case "F":
            samples = _samples({"pixels": frames})
            found[main] = Questions(exams[main], samples, prompts=_prompts(assembly, exams["text"]))
        case "C":
            samples = _samples({"pixels": frames})
            meet = partial(_meet, graphs["head"], sentence_vectors(exams["text"].answers))
            found[main] = Questions(exams[main], samples, meet=meet)
        case "P":
            from export.families.grounding_dino import keep_float  # noqa: PLC0415 needs torch

            tokenizer = Tokenizer(assembly.tokenizer, facts.text)
            captions, spans = captions_of(tokenizer, facts)
            samples = _samples(detector_rows(exams["text"], captions, frames))
            found[main] = Questions(
                exams[main], samples, matched=_matched(facts, spans), keep_float=keep_float
            )
    return found


def _samples(rows: Arrays) -> list[dict[str, NDArray[Any]]]:
    count = len(rows["pixels"])
    return [{name: array[row : row + 1] for name, array in rows.items()} for row in range(count)]


def _prompts(assembly: Assembly, text: Exam) -> Prompts:
    """The sentences of the exam; a few of them stand for what is not looked for."""
    rows = text.answers["embedding"]
    background = len(rows) // 4
    return Prompts(
        SENTENCES[background:],
        rows[background:],
        rows[:background],
        assembly.facts.decision.threshold,
    )


def _meet(head: onnx.ModelProto, text: NDArray[np.float32], clips: Arrays) -> NDArray[np.float32]:
    """What the float head makes of clips [N, ...] and sentences: cosines [N, K]."""
    import onnxruntime  # noqa: PLC0415 beside its one use

    session = onnxruntime.InferenceSession(
        reshape.to_bytes(head), providers=["CPUExecutionProvider"]
    )
    inputs = {"embedding": clips["embedding"], "context": clips["context"], "text": text}
    return np.asarray(session.run(["cosine"], inputs)[0], np.float32)


def _matched(facts: ModelFacts, spans: Sequence[slice]) -> Matched:
    """Compare two detectors' answers to one picture as sets of boxes."""
    size = (facts.image.height, facts.image.width)

    def matched(found: Arrays, references: Arrays) -> tuple[int, int]:
        ours, theirs = (
            find_boxes(one["logits"], one["boxes"], spans, _SURE, facts.image, size)
            for one in (found, references)
        )
        return boxes.matched(theirs, ours)

    return matched


def _inputs(role: Role, facts: ModelFacts) -> str:
    if role == "text":
        return "captions" if facts.frame_class == "P" else "sentences"
    return "clips" if facts.frame_class == "C" else "frames"


def _pack(
    out: Path, assembly: Assembly, exams: Mapping[Role, Exam], made: Sequence[Made]
) -> tuple[Bundle, Card]:
    facts = assembly.facts
    card = Card(
        name=facts.name,
        model=facts.model,
        variants=[one.variant for one in made if one.variant is not None],
        refused={one.name: one.refused for one in made if one.refused is not None},
        inputs={
            "frames": "half of the calibration frames, those that fixed no range",
            "clips": "half of the calibration clips, those that fixed no range",
            "sentences": "what people ask of cameras",
            "captions": "what people ask of cameras, four phrases each",
        },
        prompts=SENTENCES,
        threshold=facts.decision.threshold if facts.frame_class == "F" else None,
        conditions=these_conditions("torch", "onnxruntime", "openvino"),
    )
    rows = _GOLDEN_ROWS[facts.frame_class]
    golden: Golden = {role: exams[role].golden(facts, role, rows) for role in facts.graphs}
    files = {name: file for one in made if one.passed for name, file in one.files.items()}
    files |= {
        "tokenizer.json": Artefact("tokenizer", assembly.tokenizer),
        "golden.npz": Artefact("golden", golden_npz(golden)),
        **card_files(card),
    }
    return write_bundle(out, facts, files), card


class _Steps:
    """A line of progress for each step; what fails in one is told with its name."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task("build", total=total)
        self._name = ""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self._name = name
        self._progress.update(self._task, description=name)
        try:
            yield
        except EdgeError as exc:
            exc.args = (f"step {self._name!r}: {exc}",)
            raise
        self._progress.advance(self._task)

    @contextmanager
    def part(self, role: Role) -> Iterator[None]:
        self._name = f"{self._name.partition(':')[0]}: {role}"
        self._progress.update(self._task, description=self._name)
        yield
