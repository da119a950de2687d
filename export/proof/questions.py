"""Collects what the variants of each graph are measured with: inputs, references, prompts."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from edge.model.bundle.manifest import ModelFacts, Role
from edge.rules.text import Tokenizer
from edge.scoring.boxes import find_boxes
from export.families.base import Assembly
from export.graph.reshape import to_bytes
from export.proof import boxes
from export.proof.agreement import Prompts
from export.proof.reference import Arrays, Exam, captions_of, detector_rows, sentence_vectors
from export.proof.sentences import SENTENCES
from export.proof.verify import Matched

# Score from which a box is a detection worth comparing.
_SURE: Final = 0.25

# Maps a clip's embedding and context to the scores of the float head.
Meet = Callable[[Mapping[str, NDArray[Any]]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True, eq=False)
class Questions:
    """All that a graph's variants are made and measured with.

    Attributes:
        exam: Held-out inputs and the original's answers.
        samples: Inputs that fix INT8 ranges; empty for graphs that are not quantized statically.
        prompts: Prompts that an input chooses among, for graphs with a space of their own; else
            None.
        matched: Comparison of detections, for detectors; else None.
        meet: The float head, for the tower of a clip, whose choices the head makes; else None.
        keep_float: Function that picks the names of nodes that INT8 would break.
        ranges: Largest magnitude of each value that a layer reads, where training has found them;
            else None.
    """

    exam: Exam
    samples: Sequence[Mapping[str, NDArray[Any]]] = ()
    prompts: Prompts | None = None
    matched: Matched | None = None
    meet: Meet | None = None
    keep_float: Callable[[Collection[str]], Collection[str]] = lambda _names: ()
    ranges: Mapping[str, float] | None = None


def questions_of(
    assembly: Assembly,
    graphs: Mapping[Role, onnx.ModelProto],
    exams: Mapping[Role, Exam],
    frames: NDArray[np.int8],
) -> dict[Role, Questions]:
    """Return the questions of each graph; ``frames`` fix the INT8 ranges of the main graph."""
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
    """Return the sentences of the exam as prompts; the first quarter is the background."""
    rows = text.answers["embedding"]
    background = len(rows) // 4
    return Prompts(
        SENTENCES[background:],
        rows[background:],
        rows[:background],
        assembly.facts.decision.threshold,
    )


def _meet(head: onnx.ModelProto, text: NDArray[np.float32], clips: Arrays) -> NDArray[np.float32]:
    """Return the float head's cosines [N, K] of clips [N, ...] and sentences."""
    import onnxruntime  # noqa: PLC0415 beside its one use

    session = onnxruntime.InferenceSession(to_bytes(head), providers=["CPUExecutionProvider"])
    inputs = {"embedding": clips["embedding"], "context": clips["context"], "text": text}
    return np.asarray(session.run(["cosine"], inputs)[0], np.float32)


def _matched(facts: ModelFacts, spans: Sequence[slice]) -> Matched:
    """Return a function that compares two detectors' answers to one picture as sets of boxes."""
    size = (facts.image.height, facts.image.width)

    def matched(found: Arrays, references: Arrays) -> tuple[int, int]:
        ours, theirs = (
            find_boxes(one["logits"], one["boxes"], spans, _SURE, facts.image, size)
            for one in (found, references)
        )
        return boxes.matched(theirs, ours)

    return matched
