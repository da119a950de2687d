"""How much of what the float original says a variant still says: the arithmetic. Pure.

Letters in shapes: N inputs, P prompts, B background sentences, K choices, D embedding.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from calibration.intervals import wilson_interval

# Of how scores of one input differ (standard deviation): choices closer together count as one.
_UNDECIDED: Final = 0.1
# Of the mean distance: references closer together count as one. A choice: frames of a street clip
# that are 0.1 s apart lie at 0.3 of it.
_ALIKE: Final = 0.25


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many; ``total`` is at least 1."""

    count: int
    total: int

    @property
    def value(self) -> float:
        """0..1."""
        return self.count / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Where the share of all such inputs lies, with 95 % confidence (Wilson's)."""
        return wilson_interval(self.value, self.total)


@dataclass(frozen=True, slots=True, eq=False)
class Prompts:
    """A fixed list of sentences, embedded by the float original.

    Attributes:
        texts: P, as a person reads them; at least two.
        rows: float32 [P, D], unit rows.
        background: float32 [B, D], unit rows: what margins are taken against.
        threshold: Margin from which a frame counts for an alert.
    """

    texts: tuple[str, ...]
    rows: NDArray[np.float32]
    background: NDArray[np.float32]
    threshold: float

    def margins(self, embeddings: NDArray[Any]) -> NDArray[np.float64]:
        """Return [N, P] of embeddings [N, D]: cosine less the best of the background."""
        units = _units(embeddings)
        rivals = (units @ self.background.T).max(axis=1, keepdims=True)
        return np.asarray(units @ self.rows.T - rivals)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Whether the variant chooses what the float original chooses.

    Attributes:
        share: Inputs with the same first choice.
        worst_lead: By how much, at most, the original preferred a choice that the variant did not
            make: a cosine; 0 where all agree. Small: it was undecided itself.
    """

    share: Share
    worst_lead: float


def first_choice(found: NDArray[Any], reference: NDArray[Any]) -> Agreement:
    """Whether both have the same best column in each row of scores [N, K].

    A choice that the original hardly preferred to the one that was made, by less than a tenth of
    what its scores of one input differ, is none: another frame of the same scene decides it anew.
    """
    rows = np.arange(len(reference))
    wanted, chosen = reference.argmax(axis=1), found.argmax(axis=1)
    lead = reference[rows, wanted] - reference[rows, chosen]
    same = lead <= _UNDECIDED * reference.std(axis=1).mean()
    leads = np.where(same, 0.0, lead)
    return Agreement(Share(int(same.sum()), len(same)), float(leads.max()))


def same_alerts(margins: NDArray[np.float64], threshold: float) -> Share | None:
    """Of the pairs of input and prompt that reach the threshold for either, those for both.

    Args:
        margins: [2, N, P]: of the original, of the variant.
        threshold: Margin.

    Returns:
        None where nothing reaches it.
    """
    reached = margins >= threshold
    return share(int(reached.all(axis=0).sum()), int(reached.any(axis=0).sum()))


def finds_itself(found: NDArray[Any], reference: NDArray[Any]) -> Share:
    """Retrieval at 1: answers [N, D] as queries, references [N, D] as the gallery.

    A query finds itself if the nearest reference is its own, or one that lies as near to its own
    as the frame before does in a video: that is no other picture.
    """
    wanted = _units(reference)
    nearest = (_units(found) @ wanted.T).argmax(axis=1)
    apart = np.linalg.norm(wanted - wanted[nearest], axis=1)
    hits = apart <= _ALIKE * spread(wanted)
    return Share(int(hits.sum()), len(hits))


def row_cosines(found: NDArray[Any], reference: NDArray[Any]) -> NDArray[np.float64]:
    """Cosine [N] of each row [N, D] to its reference; two zero vectors are equal: 1."""
    both_zero = ~found.any(axis=1) & ~reference.any(axis=1)
    return np.where(both_zero, 1.0, (_units(found) * _units(reference)).sum(axis=1))


def spread(rows: NDArray[Any]) -> float:
    """Return the mean distance between two different rows of [N, D], N at least 2."""
    # Distances do not change, and what is left has no large offset to round away.
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    squares = (centred**2).sum(axis=1)
    distances = squares[:, None] + squares[None] - 2 * (centred @ centred.T)
    np.fill_diagonal(distances, 0)
    return float(np.sqrt(distances.clip(min=0)).sum() / (len(rows) * (len(rows) - 1)))


def share(count: int, total: int) -> Share | None:
    """Return the share, or None of nothing."""
    return Share(count, total) if total else None


def _units(rows: NDArray[Any]) -> NDArray[np.float64]:
    wide = rows.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(wide / np.where(lengths > 0, lengths, 1))
