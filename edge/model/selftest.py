"""Tests whether a graph, on this runtime and device, answers like its float original.

Cosines alone are not enough: embeddings of one model lie in a narrow cone, so a broken graph that
gives the same vector for every input can have a high cosine to each reference. So the distances
between the answers are compared too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.model.bundle.golden import GoldenSet
from edge.model.bundle.manifest import Role
from edge.model.engines.base import Engine

# The answers must lie at least half as far apart as the references.
MIN_SPREAD_RATIO = 0.5

# Smallest mean distance between references; below it a constant graph would pass.
_MIN_REFERENCE_SPREAD = 1e-3

# Rows of a call: a larger batch would take memory that the daemon never needs.
_BATCH = 4

# Outputs whose rows follow the order of another output; that other output is compared.
_UNORDERED: Final = {"boxes"}
# Outputs with one number for each row: a length, which a cosine does not test.
_LENGTHS: Final = {"length"}


@dataclass(frozen=True, slots=True)
class Report:
    """Distance of the answers from the references.

    Attributes:
        mean_cosine: Mean cosine over all golden rows.
        min_cosine: Cosine of the worst row.
        spread_ratio: Mean distance between two answers, divided by that between two references.
    """

    mean_cosine: float
    min_cosine: float
    spread_ratio: float


def check(
    engine: Engine, role: Role, golden: GoldenSet, min_cosine: float, batch: int = _BATCH
) -> Report:
    """Run the golden inputs of a graph through its engine and compare the answers.

    Args:
        engine: Open graph.
        role: Role of the graph.
        golden: Golden inputs and reference answers of the graph.
        min_cosine: Smallest cosine that passes.
        batch: Rows of a call.

    Returns:
        Report of the worst output.

    Raises:
        ModelError: A row's cosine is below ``min_cosine``, the answers are too close together, or
            an answer is not finite.
        InferenceError: The engine failed.
    """
    found = _run(engine, role, golden.inputs, batch)
    reports = [
        _compare(engine, _rows(name, found[name]), _rows(name, references), min_cosine)
        for name, references in golden.answers.items()
        if name not in _UNORDERED | _LENGTHS
    ]
    for name in _LENGTHS & golden.answers.keys():
        _compare_lengths(engine, found[name], golden.answers[name], min_cosine)
    return min(reports, key=lambda report: report.min_cosine)


def _run(
    engine: Engine, role: Role, inputs: Mapping[str, NDArray[Any]], batch: int
) -> dict[str, NDArray[Any]]:
    if role == "head":
        # Each clip is compared with every sentence, so the rows cannot be split.
        return engine.run(inputs)
    rows = len(next(iter(inputs.values())))
    size = engine.inputs[0].shape[0] or batch
    answers = [
        engine.run({name: array[start : start + size] for name, array in inputs.items()})
        for start in range(0, rows, size)
    ]
    return {name: np.concatenate([a[name] for a in answers]) for name in answers[0]}


def _rows(name: str, array: NDArray[Any]) -> NDArray[np.float32]:
    """Return the vectors to compare, [G, any], one for each row.

    Boxes are sorted by score, and near ties change places between runtimes. So the strongest answer
    to each token, or on each axis, is compared; it does not depend on the order.
    """
    if name == "regions":
        return np.asarray(array.max(axis=1), np.float32)  # [G, Q, D] -> [G, D]
    if name == "logits":
        strongest = array.max(axis=1).astype(np.float32)  # [G, Q, L] -> [G, L]
        return np.asarray(1 / (1 + np.exp(-strongest)), np.float32)
    return np.asarray(array.reshape(len(array), -1), np.float32)


def _compare(
    engine: Engine,
    answers: NDArray[np.float32],
    references: NDArray[np.float32],
    min_cosine: float,
) -> Report:
    where = f"golden self-test on {engine.runtime}, {engine.device}"
    if answers.shape != references.shape or not np.isfinite(answers).all():
        raise ModelError(
            f"{where}: expected finite embeddings {list(references.shape)}, found "
            f"{list(answers.shape)}, finite: {np.isfinite(answers).all()}"
        )
    cosines = _cosines(answers, references)
    reference_spread = _spread(references)
    if reference_spread < _MIN_REFERENCE_SPREAD:
        raise ModelError(
            f"{where}: expected golden references at least {_MIN_REFERENCE_SPREAD} apart, found "
            f"{reference_spread:.2g}: they could not tell a constant model; build the bundle again"
        )
    report = Report(
        mean_cosine=float(cosines.mean()),
        min_cosine=float(cosines.min()),
        spread_ratio=_spread(answers) / reference_spread,
    )
    if report.min_cosine < min_cosine:
        raise ModelError(
            f"{where}: expected a cosine of at least {min_cosine} to the float reference, found "
            f"{report.min_cosine:.4f} (mean {report.mean_cosine:.4f}); use another precision or "
            "engine"
        )
    if report.spread_ratio < MIN_SPREAD_RATIO:
        raise ModelError(
            f"{where}: expected answers that differ like the references, found "
            f"{report.spread_ratio:.3f} of their spread (at least {MIN_SPREAD_RATIO}): the graph "
            "hardly looks at its input; use another precision or engine"
        )
    return report


def _compare_lengths(
    engine: Engine,
    answers: NDArray[np.float32],
    references: NDArray[np.float32],
    min_cosine: float,
) -> None:
    """Compare lengths; an error may be as large as ``min_cosine`` allows across a vector."""
    allowed = (2 * (1 - min_cosine)) ** 0.5
    error = np.abs(answers - references) / references
    if answers.shape != references.shape or not (error <= allowed).all():
        raise ModelError(
            f"golden self-test on {engine.runtime}, {engine.device}: expected lengths within "
            f"{allowed:.1%} of the float reference, found {error.max():.1%}; use another precision "
            "or engine"
        )


def _cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    dots = np.einsum("gd,gd->g", a, b, dtype=np.float64)
    return np.asarray(dots / np.maximum(norms, np.finfo(np.float32).tiny), np.float64)


def _spread(rows: NDArray[np.float32]) -> float:
    """Return the mean distance between two different rows."""
    pairs = len(rows) * (len(rows) - 1)
    return float(np.linalg.norm(rows[:, None] - rows[None], axis=2).sum() / pairs)
