"""Does this graph, on this runtime and device, answer as its float original did?

Cosine alone does not tell: embeddings of one model lie in a narrow cone, so a broken graph that
gives the same vector for everything can have a high cosine to each reference. So the distances
between the answers are compared too.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.engines.base import Engine
from edge.errors import ModelError
from edge.golden import Golden

# The answers must lie at least half as far apart as the references.
MIN_SPREAD_RATIO = 0.5

# References closer together than this could not tell a working graph from a constant one.
_MIN_REFERENCE_SPREAD = 1e-3

# Rows per call: a large batch would take memory that the daemon itself never needs.
_BATCH = 4


@dataclass(frozen=True, slots=True)
class Report:
    """How close the answers came.

    Attributes:
        mean_cosine: Over all golden rows.
        min_cosine: The worst row.
        spread_ratio: Mean distance between two answers over that between two references.
    """

    mean_cosine: float
    min_cosine: float
    spread_ratio: float


def check_image(engine: Engine, golden: Golden, min_cosine: float, batch: int = _BATCH) -> Report:
    """Run the golden pictures through an image engine, ``batch`` a call.

    Raises:
        ModelError: A row's cosine is below ``min_cosine``, the answers lie too close together, or
            some are not finite.
        InferenceError: The engine failed.
    """
    answers = _run(engine, "pixels", golden.pixels, batch)
    return _compare(engine, answers, golden.image_embeddings, min_cosine)


def check_text(engine: Engine, golden: Golden, min_cosine: float) -> Report:
    """Run the golden sentences through a text engine; errors as in ``check_image``."""
    answers = _run(engine, "input_ids", golden.input_ids, _BATCH)
    return _compare(engine, answers, golden.text_embeddings, min_cosine)


def _run(
    engine: Engine, name: str, rows: NDArray[np.int8] | NDArray[np.int64], batch: int
) -> NDArray[np.float32]:
    return np.concatenate(
        [
            engine.run({name: rows[start : start + batch]})["embedding"]
            for start in range(0, len(rows), batch)
        ]
    )


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


def _cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    dots = np.einsum("gd,gd->g", a, b, dtype=np.float64)
    return np.asarray(dots / np.maximum(norms, np.finfo(np.float32).tiny), np.float64)


def _spread(rows: NDArray[np.float32]) -> float:
    """Return the mean distance between two different rows."""
    pairs = len(rows) * (len(rows) - 1)
    return float(np.linalg.norm(rows[:, None] - rows[None], axis=2).sum() / pairs)
