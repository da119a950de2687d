"""Compares a variant's answers with those of its float original to the same inputs.

It knows arrays and engines only: no family, no torch. ``gates`` decides what is good enough.

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

# Answers and references of one input, [1, ...] each -> how many of the reference's detections the
# answers have too, and how many it has.
Matched = Callable[[Arrays, Arrays], tuple[int, int]]

# References closer together than this could not tell a working graph from a constant one: the
# device's own rule (edge/model/selftest.py).
_MIN_REFERENCE_SPREAD: Final = 1e-3
# Outputs without an order of their own; ``matched`` compares them.
_UNORDERED: Final = ("boxes",)
# A sigmoid is flat beyond; a floored -inf would only overflow.
_SATURATED: Final = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Closeness:
    """One output against its reference.

    Attributes:
        max_abs: The largest difference of any number.
        cosines: float64 [N], each row as one vector; None where a row is a single number.
        spread_ratio: Mean distance between two answers over that between two references; None
            where the references themselves hardly differ.
    """

    max_abs: float
    cosines: NDArray[np.float64] | None
    spread_ratio: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """All that was measured of a variant; None is not measured.

    Attributes:
        inputs: N.
        outputs: By name.
        same_prompt: First choice among the prompts, or among a head's sentences.
        alerts: Of the pairs of input and prompt that reach the threshold for either, those that
            do for both.
        finds_itself: Retrieval: answers whose nearest reference is their own.
        matched: Detections of the float original that the variant has too.
        margins: float64 [2, N, P]: of the float original, of the variant.
        steadiness: None for answers that came as arrays.
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
        """The output that the graph is for."""
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
    """Ask an engine for each input by itself, and compare.

    Memory is that of one call, or of four together, and of the answers.

    Args:
        engine: The variant, opened.
        rows: Its inputs by name, [N, ...] each; N at least 2. May be memory-mapped.
        references: What the float original answered, by output, [N, ...] each.
        shared: Inputs that are the same in each call (a head's sentences), whole.
        prompts: For graphs with an ``embedding`` of frames in the space of the prompts.
        matched: For detectors.

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

    ``embedding`` is compared among the prompts too. ``cosine`` [N, K], a head's scores, tells the
    first choice by itself: to know what a video tower's loss does to the choice, add those that
    the float head gives for both.

    Raises:
        ModelError: An output is missing, of another shape or not finite, or the references are
            too few or too alike to tell a constant graph.
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
    """Return N once both are finite and of the same shapes.

    Raises:
        ModelError: They are not.
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
    """One vector for each input, [N, anything].

    A detector's queries come in the order of their scores, and near ties change places from one
    precision to the next. What no order changes is the strongest answer to each token.
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
