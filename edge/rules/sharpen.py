"""Sharpens a rule by a few examples: new weights for its sentences and a new threshold. Pure.

Nothing is trained: the model and the words stay as they are. Some of a rule's synonyms, negatives
and templates fit a scene better than others, and a few events that somebody marked show which. The
texts become one row: the weighted mean of every text in every template, normalised again like every
mean over templates. The negatives become one row in the same way. ``fit`` finds the weights.

A change is judged on events that the fit has not seen (leave one out), with the samples around
them. A change that does not help is not made.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge.rules.blend import Rows, margins
from edge.rules.fit import SHRINK, Sharpened, fit_threshold, fit_weights
from edge.rules.shots import Shots


@dataclass(frozen=True, slots=True)
class Proof:
    """How often a rule is right on events that its settings do not come from.

    Attributes:
        seen: Share of wanted samples at or above the threshold, 0..1.
        quiet: Share of the other samples below the threshold, 0..1.
        rightness: Mean of ``seen`` and ``quiet``.
        folds: Rightness on each event that was left out.
    """

    seen: float
    quiet: float
    rightness: float
    folds: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """Result of sharpening a rule.

    Attributes:
        before: Proof of the rule as it is.
        after: Proof of the best change, on events that were left out.
        change: The best change, fitted to all shots; None where nothing helps.
    """

    before: Proof
    after: Proof
    change: Sharpened | None


def sharpen(rows: Rows, shots: Shots, threshold: float, shrink: float = SHRINK) -> Lesson:
    """Find the smallest change that helps on events it has not seen.

    Args:
        rows: Rows of the rule.
        shots: Examples; at least two groups with wanted samples, and two with others.
        threshold: Threshold of the rule as it is.
        shrink: How strongly weights are held to equal ones; 0 trusts the shots alone.

    Raises:
        ValueError: There are too few shots to say anything.
    """
    groups = np.unique(shots.groups)
    for what, side in (("with wanted samples", shots.wanted), ("with others", ~shots.wanted)):
        found = len(np.unique(shots.groups[side]))
        if found < 2:
            raise ValueError(f"expected at least two events {what}, found {found}")
    fits: list[Callable[[Shots], Sharpened]] = [
        lambda kept: Sharpened(None, fit_threshold(margins(rows, kept.embeddings), kept, threshold))
    ]
    if max(*rows.texts.shape[:2], len(rows.negatives)) > 1:
        fits.append(lambda kept: fit_weights(rows, kept, threshold, shrink))
    before = _prove(rows, shots, groups, lambda _: Sharpened(None, threshold))
    proofs = [_prove(rows, shots, groups, fit) for fit in fits]
    best = max(range(len(fits)), key=lambda index: proofs[index].rightness)  # ties: the smaller one
    after = proofs[best]
    better = sum(a > b for a, b in zip(after.folds, before.folds, strict=True))
    worse = sum(a < b for a, b in zip(after.folds, before.folds, strict=True))
    helps = after.rightness > before.rightness and better > worse
    return Lesson(
        before, after, _with_hysteresis(rows, shots, fits[best](shots)) if helps else None
    )


def _prove(
    rows: Rows, shots: Shots, groups: NDArray[np.intp], fit: Callable[[Shots], Sharpened]
) -> Proof:
    """Fit without each group in turn, and judge the fit on that group."""
    seen, quiet, folds = [], [], []
    for group in groups:
        out = shots.groups == group
        change = fit(shots.select(~out))
        hits = margins(rows, shots.embeddings[out], change.weights) >= change.threshold
        wanted = shots.wanted[out]
        shares = []
        if wanted.any():
            seen.append(float(hits[wanted].mean()))
            shares.append(seen[-1])
        if not wanted.all():
            quiet.append(float((~hits[~wanted]).mean()))
            shares.append(quiet[-1])
        folds.append(float(np.mean(shares)))
    both = float(np.mean(seen)), float(np.mean(quiet))
    return Proof(*both, sum(both) / 2, tuple(folds))


def _with_hysteresis(rows: Rows, shots: Shots, change: Sharpened) -> Sharpened:
    ordinary = margins(rows, shots.embeddings[~shots.wanted], change.weights)
    way_back = change.threshold - float(np.median(ordinary))
    return replace(change, hysteresis=max(0.0, way_back / 2))
