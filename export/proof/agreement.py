"""Computes how far a variant's answers agree with the float original's; pure functions.

Letters in shapes: N inputs, P prompts, B background sentences, K choices, D embedding.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from calibration.intervals import wilson_interval

# Share of the standard deviation among the scores of one input: choices that are closer together
# count as one.
_UNDECIDED: Final = 0.1
# Share of the mean distance between references: references that are closer together count as one.
# The number is a choice: frames of a street clip that are 0.1 s apart lie at 0.3.
_ALIKE: Final = 0.25


@dataclass(frozen=True, slots=True)
class Share:
    """``count`` of ``total``, which is at least 1."""

    count: int
    total: int

    @property
    def value(self) -> float:
        """The share as a number, 0..1."""
        return self.count / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the share among all such inputs (Wilson's), each end 0..1."""
        return wilson_interval(self.value, self.total)


@dataclass(frozen=True, slots=True, eq=False)
class Prompts:
    """A fixed list of sentences, embedded by the float original.

    Attributes:
        texts: Sentences, P of them, at least two.
        rows: Embeddings of the sentences, float32 [P, D], unit rows.
        background: Embeddings that margins are taken against, float32 [B, D], unit rows.
        threshold: Margin from which a frame counts for an alert.
    """

    texts: tuple[str, ...]
    rows: NDArray[np.float32]
    background: NDArray[np.float32]
    threshold: float

    def margins(self, embeddings: NDArray[Any]) -> NDArray[np.float64]:
        """Return margins [N, P] of embeddings [N, D]: cosine less the best background cosine."""
        units = _units(embeddings)
        rivals = (units @ self.background.T).max(axis=1, keepdims=True)
        return np.asarray(units @ self.rows.T - rivals)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of the variant's first choices with the float original's.

    Attributes:
        share: Share of inputs with the same first choice.
        worst_lead: Largest lead, in cosine, of the original's choice over the variant's where they
            differ; 0 where all agree. A small lead means that the original was undecided.
    """

    share: Share
    worst_lead: float


def first_choice(found: NDArray[Any], reference: NDArray[Any]) -> Agreement:
    """Compare the best columns of two arrays of scores [N, K], row by row.

    A different choice counts as the same where the original preferred its own by less than a tenth
    of the standard deviation of its scores: another frame of the same scene may decide otherwise.
    """
    rows = np.arange(len(reference))
    wanted, chosen = reference.argmax(axis=1), found.argmax(axis=1)
    lead = reference[rows, wanted] - reference[rows, chosen]
    same = lead <= _UNDECIDED * reference.std(axis=1).mean()
    leads = np.where(same, 0.0, lead)
    return Agreement(Share(int(same.sum()), len(same)), float(leads.max()))


def same_alerts(margins: NDArray[np.float64], threshold: float) -> Share | None:
    """Return how many pairs of input and prompt reach the threshold for both, of those for either.

    Args:
        margins: Margins of the original and of the variant, [2, N, P].
        threshold: Margin from which a frame counts for an alert.

    Returns:
        The share; None where no pair reaches the threshold.
    """
    reached = margins >= threshold
    return share(int(reached.all(axis=0).sum()), int(reached.any(axis=0).sum()))


def finds_itself(found: NDArray[Any], reference: NDArray[Any]) -> Share:
    """Compute retrieval at 1: answers [N, D] are the queries, references [N, D] the gallery.

    A query finds itself if the nearest reference is its own. A reference as near to its own as the
    frame before in a video counts too, because it shows the same picture.
    """
    wanted = _units(reference)
    nearest = (_units(found) @ wanted.T).argmax(axis=1)
    apart = np.linalg.norm(wanted - wanted[nearest], axis=1)
    hits = apart <= _ALIKE * spread(wanted)
    return Share(int(hits.sum()), len(hits))


def row_cosines(found: NDArray[Any], reference: NDArray[Any]) -> NDArray[np.float64]:
    """Return the cosine [N] of each row [N, D] to its reference; 1 for two zero vectors."""
    both_zero = ~found.any(axis=1) & ~reference.any(axis=1)
    return np.where(both_zero, 1.0, (_units(found) * _units(reference)).sum(axis=1))


def spread(rows: NDArray[Any]) -> float:
    """Return the mean distance between two different rows of [N, D], N at least 2."""
    # Centring changes no distance and removes a large offset, which would cost precision.
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    squares = (centred**2).sum(axis=1)
    distances = squares[:, None] + squares[None] - 2 * (centred @ centred.T)
    np.fill_diagonal(distances, 0)
    return float(np.sqrt(distances.clip(min=0)).sum() / (len(rows) * (len(rows) - 1)))


def share(count: int, total: int) -> Share | None:
    """Return the share; None where ``total`` is 0."""
    return Share(count, total) if total else None


def _units(rows: NDArray[Any]) -> NDArray[np.float64]:
    wide = rows.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(wide / np.where(lengths > 0, lengths, 1))
