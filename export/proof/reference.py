"""What each graph of a model is asked, and what the float original answers.

The original is the torch module that the graph was exported from; that this module is the
checkpoint's own arithmetic, the tests of each family show against the model's public API.

Letters in shapes: N rows, T frames of a clip, H, W picture, K sentences, L tokens, D embedding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from edge.model.bundle.contract import contract_of
from edge.model.bundle.golden import GoldenSet
from edge.model.bundle.manifest import ImageSpec, ModelFacts, Role
from edge.rules.caption import write_caption
from edge.rules.text import Tokenizer
from export.families.base import Assembly, Part
from export.proof.sentences import SENTENCES

Arrays = Mapping[str, NDArray[Any]]

# A detector reads several phrases at once: captions of so many.
_PHRASES: Final = 4
_CAPTIONS: Final = 3


@dataclass(frozen=True, slots=True, eq=False)
class Exam:
    """Questions for one graph, and the right answers.

    Attributes:
        rows: Inputs by name, [N, ...] each.
        answers: Outputs by name, [N, ...] each.
        shared: Inputs that belong to all rows: the sentences of a head.
    """

    rows: Arrays
    answers: Arrays
    shared: Arrays = field(default_factory=dict)

    def golden(self, facts: ModelFacts, role: Role, count: int) -> GoldenSet:
        """``count`` rows, evenly spread, as the device will be asked."""
        size = len(next(iter(self.rows.values())))
        picked = np.linspace(0, size - 1, min(count, size)).round().astype(int)
        wanted = {spec.name for spec in contract_of(facts, role).outputs}
        return GoldenSet(
            {name: array[picked] for name, array in self.rows.items()} | dict(self.shared),
            {name: array[picked] for name, array in self.answers.items() if name in wanted},
        )


def examine(assembly: Assembly, frames: NDArray[np.int8]) -> dict[Role, Exam]:
    """Ask the float original of every graph.

    Args:
        assembly: The model, taken apart.
        frames: int8 [N, 3, H, W]; of class C clips, int8 [N, T, 3, H, W].
    """
    facts = assembly.facts
    parts = {part.role: part for part in assembly.parts}
    tokenizer = Tokenizer(assembly.tokenizer, facts.text)
    if facts.frame_class == "P":
        return _detection(parts, facts, tokenizer, frames)
    ids = {"input_ids": tokenizer.encode(SENTENCES)}
    exams: dict[Role, Exam] = {"text": exam_of(parts["text"], facts.image, ids)}
    main = facts.graphs[0]
    exams[main] = exam_of(parts[main], facts.image, {"pixels": frames})
    if "head" in parts:
        clips = exams[main].answers
        rows = {name: clips[name] for name in ("embedding", "context")}
        shared = {"text": sentence_vectors(exams["text"].answers)}
        exams["head"] = exam_of(parts["head"], facts.image, rows, shared)
    return exams


def sentence_vectors(answers: Arrays) -> NDArray[np.float32]:
    """What a head takes for sentences [K, D]: their directions, as long as the text graph says."""
    vectors = answers["embedding"]
    return np.asarray(vectors * answers["length"].reshape(-1, 1), np.float32)


def detector_rows(
    text: Exam, captions: Arrays, frames: NDArray[np.int8]
) -> dict[str, NDArray[Any]]:
    """Frames with the first caption, as a detector takes them, [N, ...] each."""

    def repeated(array: NDArray[Any]) -> NDArray[Any]:
        return np.repeat(array[:1], len(frames), axis=0)

    return {
        "pixels": frames,
        "features": repeated(text.answers["features"]),
        **{name: repeated(captions[name]) for name in ("token_mask", "position_ids", "block_mask")},
    }


def captions_of(tokenizer: Tokenizer, facts: ModelFacts) -> tuple[Arrays, tuple[slice, ...]]:
    """The captions that are asked, [captions, ...] each, and the first one's phrases as tokens."""
    # The shortest ones: a caption has room for few tokens, and some tokenizers cut words small.
    phrases = sorted(SENTENCES, key=len)[: _PHRASES * _CAPTIONS]
    written = [
        write_caption(phrases[start::_CAPTIONS], tokenizer, facts.text)
        for start in range(_CAPTIONS)
    ]
    names = ("input_ids", "token_mask", "position_ids", "block_mask")
    arrays = {name: np.concatenate([getattr(one, name) for one in written]) for name in names}
    return arrays, written[0].token_spans


def _detection(
    parts: Mapping[Role, Part], facts: ModelFacts, tokenizer: Tokenizer, frames: NDArray[np.int8]
) -> dict[Role, Exam]:
    captions, _ = captions_of(tokenizer, facts)
    wanted = parts["text"].inputs
    text = exam_of(parts["text"], facts.image, {name: captions[name] for name in wanted})
    detector = exam_of(parts["detector"], facts.image, detector_rows(text, captions, frames))
    return {"text": text, "detector": detector}


def exam_of(part: Part, spec: ImageSpec, rows: Arrays, shared: Arrays | None = None) -> Exam:
    """Ask the float original each row by itself."""
    shared = shared or {}
    count = len(next(iter(rows.values())))
    calls = [
        ask(part, spec, {name: array[row : row + 1] for name, array in rows.items()} | dict(shared))
        for row in range(count)
    ]
    answers = {name: np.concatenate([call[name] for call in calls]) for name in part.outputs}
    return Exam(rows, answers, shared)


def ask(part: Part, spec: ImageSpec, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
    """Run the float original once.

    Args:
        part: Of the model.
        spec: How its pictures are normalised.
        inputs: As the graph takes them, int8 ``pixels`` included.
    """
    tensors = [
        normalised(inputs["pixels"], spec)
        if name == part.pixels
        else torch.from_numpy(np.ascontiguousarray(inputs[name]))
        for name in part.inputs
    ]
    with torch.no_grad():
        found = part.module(*tensors)
    outputs: Sequence[torch.Tensor] = found if isinstance(found, tuple) else (found,)
    return {
        name: tensor.float().numpy() for name, tensor in zip(part.outputs, outputs, strict=True)
    }


def normalised(pixels: NDArray[np.int8], spec: ImageSpec) -> torch.Tensor:
    """int8 pixels [..., 3, H, W] as the float picture that the original was trained on."""
    shape = (3, 1, 1)
    picture = pixels.astype(np.float32) + 128  # u8 ^ 0x80, read as signed
    mean, std = (np.asarray(value, np.float32).reshape(shape) for value in (spec.mean, spec.std))
    return torch.from_numpy((picture - mean) / std)
