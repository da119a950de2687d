"""Compares a variant's answers with those of its float original to the same inputs.

It knows arrays and engines only, no model family and no torch. ``gates`` decides what is good
enough.

Letters in shapes: N inputs, P prompts, K sentences of a head, D embedding, Q queries and L tokens
of a detector.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.model.engines.base import Engine
from export.proof.agreement import (
    Agreement,
    Prompts,
    Share,
    finds_itself,
    first_choice,
    row_cosines,
    same_alerts,
    share,
    spread,
)
from export.proof.answers import Arrays, Steadiness, ask

# Takes the answers and the references of one input, [1, ...] each. Returns how many of the
# reference's detections the answers have too, and how many the reference has.
Matched = Callable[[Arrays, Arrays], tuple[int, int]]

# Least spread of references: with less, a constant graph would look like a working one. The device
# has the same rule (edge/model/selftest.py).
_MIN_REFERENCE_SPREAD: Final = 1e-3
# Outputs whose rows have no fixed order; ``matched`` compares them.
_UNORDERED: Final = ("boxes",)
# A sigmoid is flat beyond this; larger numbers would only overflow.
_SATURATED: Final = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Closeness:
    """Closeness of one output to its reference.

    Attributes:
        max_abs: Largest difference of any number.
        cosines: Cosine of each row, taken as one vector, to its reference, float64 [N]; None where
            a row is a single number.
        spread_ratio: Mean distance between two answers over that between two references; None where
            the references themselves hardly differ.
    """

    max_abs: float
    cosines: NDArray[np.float64] | None
    spread_ratio: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """All measurements of a variant; None where something was not measured.

    Attributes:
        inputs: Number of inputs, N.
        outputs: Closeness of each output by name.
        same_prompt: Agreement of the first choice among the prompts, or among a head's sentences.
        alerts: Share of the pairs of input and prompt that reach the threshold for both, among
            those that reach it for either.
        finds_itself: Share of answers whose nearest reference is their own (retrieval).
        matched: Share of the float original's detections that the variant has too.
        margins: Margins of the float original and of the variant, float64 [2, N, P].
        steadiness: Differences between answers to the same input; None for answers that came as
            arrays.
    """

    inputs: int
    outputs: Mapping[str, Closeness]
    same_prompt: Agreement | None = None
    alerts: Share | None = None
    finds_itself: Share | None = None
    matched: Share | None = None
    margins: NDArray[np.float64] | None = None
    steadiness: Steadiness | None = None

    @property
    def main(self) -> Closeness:
        """Closeness of the main output: the embedding, else the first one."""
        return self.outputs.get("embedding") or next(iter(self.outputs.values()))


def measure_variant(
    engine: Engine,
    rows: Arrays,
    references: Arrays,
    *,
    shared: Arrays | None = None,
    prompts: Prompts | None = None,
    matched: Matched | None = None,
) -> Measured:
    """Run an engine on each input by itself, and compare.

    Memory is needed for the answers and for one call, or four together.

    Args:
        engine: The variant, opened.
        rows: Inputs by name, [N, ...] each; N at least 2. They may be memory-mapped.
        references: Answers of the float original by output, [N, ...] each.
        shared: Inputs that are the same in each call (a head's sentences), whole.
        prompts: Prompts, for graphs with an ``embedding`` of frames in the prompts' space.
        matched: Comparison of detections, for detectors.

    Raises:
        ModelError: As ``compare``.
        InferenceError: The engine failed.
    """
    found, steadiness = ask(engine, rows, tuple(references), shared)
    return compare(found, references, prompts=prompts, matched=matched, steadiness=steadiness)


def compare(
    found: Arrays,
    references: Arrays,
    *,
    prompts: Prompts | None = None,
    matched: Matched | None = None,
    steadiness: Steadiness | None = None,
) -> Measured:
    """Compare answers with the float original's, both by output, [N, ...] each.

    An ``embedding`` is compared among the prompts too. A ``cosine`` [N, K], a head's scores, gives
    the first choice directly. To see what a video tower's loss does to the choice, add the scores
    that the float head gives for both.

    Raises:
        ModelError: An output is missing, of another shape or not finite; or the references are too
            few or too alike to reveal a constant graph.
    """
    inputs = _check(found, references)
    outputs = {
        name: _closeness(_vectors(name, found[name]), _vectors(name, reference))
        for name, reference in references.items()
        if name not in _UNORDERED
    }
    if all(closeness.spread_ratio is None for closeness in outputs.values()):
        raise ModelError(
            f"expected references at least {_MIN_REFERENCE_SPREAD} apart, found none among "
            f"{', '.join(references)}: they could not tell a constant graph; use inputs that "
            "differ more"
        )
    nearest = same_prompt = margins = alerts = None
    if "embedding" in references:
        nearest = finds_itself(found["embedding"], references["embedding"])
    if "embedding" in references and prompts is not None:
        margins = np.stack([prompts.margins(a["embedding"]) for a in (references, found)])
        same_prompt = first_choice(margins[1], margins[0])
        alerts = same_alerts(margins, prompts.threshold)
    if "cosine" in references:
        same_prompt = first_choice(found["cosine"], references["cosine"])
    return Measured(
        inputs=inputs,
        outputs=outputs,
        same_prompt=same_prompt,
        alerts=alerts,
        finds_itself=nearest,
        matched=None if matched is None else _matched(matched, found, references),
        margins=margins,
        steadiness=steadiness,
    )


def _check(found: Arrays, references: Arrays) -> int:
    """Return N, the number of inputs.

    Raises:
        ModelError: Answers or references are not finite, or their shapes differ.
    """
    counts = {name: len(array) for name, array in references.items()}
    if len(set(counts.values())) != 1 or min(counts.values()) < 2:
        raise ModelError(
            f"expected references for the same two inputs or more, found {counts or 'none'}; "
            "measure on more inputs"
        )
    for name, reference in references.items():
        if name not in found:
            raise ModelError(f"expected an answer {name}, found {', '.join(found) or 'none'}")
        if found[name].shape != reference.shape:
            raise ModelError(
                f"{name}: expected answers of shape {list(reference.shape)}, found "
                f"{list(found[name].shape)}"
            )
        for what, array in (("answers", found[name]), ("references", reference)):
            wrong = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)  # [N]
            if wrong.any():
                raise ModelError(
                    f"{name}: expected finite {what}, found others for {int(wrong.sum())} of "
                    f"{len(array)} inputs; weights that are not finite do that, or an overflow of "
                    "a small precision"
                )
    return min(counts.values())


def _vectors(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return one vector for each input, [N, anything].

    A detector's queries come in the order of their scores, and near ties change places from one
    precision to the next. The strongest answer to each token does not depend on that order.
    """
    if name == "logits":
        strongest = array.max(axis=1).astype(np.float64)  # [N, Q, L] -> [N, L]
        return np.asarray(1 / (1 + np.exp(-strongest.clip(-_SATURATED, _SATURATED))))
    return array.reshape(len(array), -1)


def _closeness(found: NDArray[Any], reference: NDArray[Any]) -> Closeness:
    """Compare [N, anything] with its reference."""
    expected = spread(reference)
    tells = expected >= _MIN_REFERENCE_SPREAD
    return Closeness(
        max_abs=float(np.abs(found.astype(np.float64) - reference).max()),
        cosines=row_cosines(found, reference) if reference.shape[1] > 1 else None,
        spread_ratio=spread(found) / expected if tells else None,
    )


def _matched(matched: Matched, found: Arrays, references: Arrays) -> Share | None:
    count = total = 0
    for index in range(len(next(iter(references.values())))):
        row = slice(index, index + 1)
        hits, wanted = matched(
            {name: found[name][row] for name in references},
            {name: array[row] for name, array in references.items()},
        )
        count, total = count + hits, total + wanted
    return share(count, total)
