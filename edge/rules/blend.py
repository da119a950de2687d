"""Blends several sentences into one row, by weights that ``sharpen`` learned from examples. Pure.

The row is the weighted mean of the sentences' unit rows in each template, normalised again like
every mean over templates.

Letters in shapes: M samples, S texts, T templates, N negatives, B background sentences,
D embedding.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The unit rows that a rule's margin is made of.

    Attributes:
        texts: float32 [S, T, D]: rows of its texts in each template.
        negatives: float32 [N, T, D]: rows of its negatives in each template.
        background: float32 [B, D]: rows of the background that counts for this rule.
    """

    texts: NDArray[np.float32]
    negatives: NDArray[np.float32]
    background: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Convex weights: each is at least 0, and each array adds up to 1.

    Attributes:
        texts: float64 [S]: weight of each text.
        templates: float64 [T]: weight of each template.
        negatives: float64 [N]: weight of each negative.
    """

    texts: Floats
    templates: Floats
    negatives: Floats

    @classmethod
    def equal(cls, rows: Rows) -> "Weights":
        """Weights that prefer nothing."""
        texts, templates, _ = rows.texts.shape
        return cls(*(np.full(n, 1 / max(n, 1)) for n in (texts, templates, len(rows.negatives))))


def margins(
    rows: Rows, embeddings: NDArray[np.float32], weights: Weights | None = None
) -> NDArray[np.float64]:
    """Compute the margin of the rule for each sample, as the bank does.

    Args:
        rows: Rows of the rule.
        embeddings: float32 [M, D], unit rows.
        weights: How its sentences are blended; None: the best text against the best negative.

    Returns:
        float64 [M].
    """
    against = [embeddings @ rows.background.T]
    if weights is None:
        each = [_unit(sentences.mean(axis=1)) for sentences in (rows.texts, rows.negatives)]
        texts, negatives = (embeddings @ own.T for own in each)
        against.append(negatives)
        cosine = texts.max(axis=1)
    else:
        cosine = embeddings @ blend(rows.texts, weights.texts, weights.templates)
        if len(rows.negatives):
            row = blend(rows.negatives, weights.negatives, weights.templates)
            against.append((embeddings @ row)[:, np.newaxis])
    return np.asarray(cosine - np.concatenate(against, axis=1).max(axis=1), np.float64)


def blend(
    sentences: NDArray[np.float32], weights: Floats, templates: Floats
) -> NDArray[np.float32]:
    """Blend sentences [n, T, D] into one unit row [D], by their weights [n] and templates' [T]."""
    mean = np.einsum("ntd,n,t->d", sentences.astype(np.float64), weights, templates)
    return np.asarray(mean / np.linalg.norm(mean), np.float32)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
