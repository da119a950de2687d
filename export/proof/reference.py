"""Runs the float original of each graph, and keeps inputs and answers as the graph's exam.

The original is the torch module that the graph was exported from. The tests of each family compare
that module with the model's public API.

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

# Phrases in a caption: a detector reads several at once.
_PHRASES: Final = 4
_CAPTIONS: Final = 3


@dataclass(frozen=True, slots=True, eq=False)
class Exam:
    """Inputs for one graph, and the float original's answers.

    Attributes:
        rows: Inputs by name, [N, ...] each.
        answers: Outputs by name, [N, ...] each.
        shared: Inputs that belong to all rows by name: the sentences of a head.
    """

    rows: Arrays
    answers: Arrays
    shared: Arrays = field(default_factory=dict)

    def golden(self, facts: ModelFacts, role: Role, count: int) -> GoldenSet:
        """Return ``count`` evenly spread rows, in the form that the device's self-test runs."""
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
        frames: Frames, int8 [N, 3, H, W]; for class C clips, int8 [N, T, 3, H, W].
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
    """Return a head's input for sentences, [K, D]: their embeddings times their lengths."""
    vectors = answers["embedding"]
    return np.asarray(vectors * answers["length"].reshape(-1, 1), np.float32)


def detector_rows(
    text: Exam, captions: Arrays, frames: NDArray[np.int8]
) -> dict[str, NDArray[Any]]:
    """Return a detector's inputs, [N, ...] each: the frames, each with the first caption."""

    def repeated(array: NDArray[Any]) -> NDArray[Any]:
        return np.repeat(array[:1], len(frames), axis=0)

    return {
        "pixels": frames,
        "features": repeated(text.answers["features"]),
        **{name: repeated(captions[name]) for name in ("token_mask", "position_ids", "block_mask")},
    }


def captions_of(tokenizer: Tokenizer, facts: ModelFacts) -> tuple[Arrays, tuple[slice, ...]]:
    """Return the captions, [captions, ...] each, and the token spans of the first one's phrases."""
    # The shortest: a caption has room for few tokens, and some tokenizers cut words into small
    # pieces.
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
    """Run the float original on each row by itself."""
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
        part: Part of the model.
        spec: Normalization of its pictures.
        inputs: Inputs in the graph's form, with int8 ``pixels``.
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
    """Return int8 pixels [..., 3, H, W] as the float picture that the original was trained on."""
    shape = (3, 1, 1)
    picture = pixels.astype(np.float32) + 128  # u8 ^ 0x80, read as signed
    mean, std = (np.asarray(value, np.float32).reshape(shape) for value in (spec.mean, spec.std))
    return torch.from_numpy((picture - mean) / std)
