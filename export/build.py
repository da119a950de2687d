"""Builds a bundle from a checkpoint: open, export, reshape, quantize, verify, pack.

Each step is a module of its own. This module connects them, and an error names the step that
failed. Results of long steps are kept (``export.cache``), so an interrupted build continues where
it stopped.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from calibration.footage import clips_of, files_of, read_footage
from calibration.limits import MIN_FRAMES
from edge.errors import ConfigError, EdgeError, ModelError
from edge.model.bundle.golden import Golden
from edge.model.bundle.manifest import ModelFacts, Role
from edge.model.bundle.read import Bundle
from export.bundle.pack import Artefact, golden_npz, workplace, write_bundle
from export.bundle.targets import TARGETS, Target
from export.cache.steps import StepCache, default_cache
from export.checkpoints.checkpoint import Checkpoint, open_checkpoint
from export.default_bundle.frames import default_frames
from export.families import assemble
from export.families.base import Assembly
from export.graph.part import export_graph
from export.packages.fetch import default_cache as package_cache
from export.proof.card import Card, these_conditions
from export.proof.card_files import card_files
from export.proof.own_pixels import PictureCheck, check_pictures
from export.proof.questions import questions_of
from export.proof.reference import Exam, examine
from export.proof.sentences import SENTENCES
from export.variants import Made, make_variants

# Number of calibration frames by frame class. A detector's frames are large, and its float original
# takes seconds for each.
_FRAMES: Final = {"F": 128, "C": 256, "P": 32}
# Two clips fix ranges, and two measure: fewer could not tell a constant graph.
_FEWEST_CLIPS: Final = 4
_GOLDEN_ROWS: Final = {"F": 8, "C": 2, "P": 2}


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """Order for a bundle.

    Attributes:
        source: Name in the catalogue, hub repository, or directory.
        out: Directory of the bundle.
        targets: Targets of the bundle.
        revision: Commit, branch or tag of a hub repository; None takes the catalogue's.
        random_weights: Seed of random weights for the architecture; None takes the real weights.
        calibration: Folder or file with pictures and videos; None takes the default frames.
        frames: Number of frames; half of them fix INT8 ranges, half measure the losses. None takes
            the frame class's number.
        size: Height and width of a detector's pictures; None takes its default.
        offline: Whether packages come from the cache only, without the network.
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
    """Result of a build.

    Attributes:
        bundle: The finished bundle.
        left_out: Reasons by name, for each variant that is not in the bundle.
        notes: Remarks for the user, a sentence each.
    """

    bundle: Bundle
    left_out: Mapping[str, Sequence[str]]
    notes: tuple[str, ...]


def build(request: BuildRequest, progress: Progress, cache: StepCache | None = None) -> Built:
    """Build the bundle ``request.out``.

    Raises:
        ConfigError: The source does not exist.
        ModelError: A step failed; the message begins with its name. Nothing is left half-written.
    """
    with workplace(request.out):
        pass  # a bad ``out`` is refused before the work
    steps = _Steps(progress, total=6)
    with steps.step("open the checkpoint"):
        checkpoint = open_checkpoint(
            request.source, revision=request.revision, random_weights=request.random_weights
        )
        assembly = assemble(checkpoint, request.size)
        pictures = _check_pictures(checkpoint, assembly.facts)
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
        bundle, card = _pack(request.out, assembly, exams, made, pictures)
    notes = tuple(f"{one.name}: {one.note}" for one in made if one.note)
    return Built(bundle, card.left_out, notes)


def read_frames(request: BuildRequest, facts: ModelFacts) -> NDArray[np.int8]:
    """Return calibration frames, int8 [N, 3, H, W], or clips of them, int8 [N, T, 3, H, W].

    Raises:
        ConfigError: ``request.frames`` is too small.
        ModelError: There are too few different frames.
    """
    count = request.frames or _FRAMES[facts.frame_class]
    least = max(MIN_FRAMES, _FEWEST_CLIPS * facts.frames)
    of = f" for clips of {facts.frames}" if facts.frames > 1 else ""
    if count < least:
        raise ConfigError(f"--frames: expected at least {least}{of}, found {count}")
    if request.calibration is None:
        footage = default_frames(facts.image, package_cache(), count, offline=request.offline)
    else:
        footage = read_footage(files_of(request.calibration), facts.image, count=count)
    if len(footage.frames) < least:
        raise ModelError(
            f"expected at least {least} different frames{of}, found {len(footage.frames)} among "
            f"{footage.seen}; add footage of other scenes or hours"
        )
    return clips_of(footage.frames, facts.frames) if facts.frames > 1 else footage.frames


def _check_pictures(checkpoint: Checkpoint, facts: ModelFacts) -> PictureCheck | None:
    """Compare the bundle's pictures with the checkpoint's own; None where that cannot be.

    A detector's pictures have a size and borders of the bundle's own, and a checkpoint whose files
    name no processor has nothing to be compared with.
    """
    own = checkpoint.processor
    if own is None or facts.frame_class == "P":
        return None
    return check_pictures(facts.image, own.name, own)


def _inputs(role: Role, facts: ModelFacts) -> str:
    if role == "text":
        return "captions" if facts.frame_class == "P" else "sentences"
    return "clips" if facts.frame_class == "C" else "frames"


def _pack(
    out: Path,
    assembly: Assembly,
    exams: Mapping[Role, Exam],
    made: Sequence[Made],
    pictures: PictureCheck | None,
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
        pictures=pictures,
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
    """Progress line of the build; an error inside a step gets the step's name."""

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
