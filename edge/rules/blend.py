"""Several sentences as one row, by weights: what examples taught a rule (``sharpen``). Pure.

The row is the weighted mean of the sentences' unit rows in each template, re-normalised as the mean
over templates always is.

Letters in shapes: M samples, S texts, T templates, N negatives, B background sentences,
D embedding.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """What a rule's margin is made of, unit rows.

    Attributes:
        texts: float32 [S, T, D].
        negatives: float32 [N, T, D].
        background: float32 [B, D]: what counts for this rule.
    """

    texts: NDArray[np.float32]
    negatives: NDArray[np.float32]
    background: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Convex: each at least 0, the sum of each array 1.

    Attributes:
        texts: float64 [S].
        templates: float64 [T].
        negatives: float64 [N].
    """

    texts: Floats
    templates: Floats
    negatives: Floats

    @classmethod
    def equal(cls, rows: Rows) -> "Weights":
        texts, templates, _ = rows.texts.shape
        return cls(*(np.full(n, 1 / max(n, 1)) for n in (texts, templates, len(rows.negatives))))


def margins(
    rows: Rows, embeddings: NDArray[np.float32], weights: Weights | None = None
) -> NDArray[np.float64]:
    """Margins [M], as the bank's: with ``weights``, or with the best text and negative."""
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
    """Sentences [n, T, D] as one unit row [D], by the weights [n] and those of templates [T]."""
    mean = np.einsum("ntd,n,t->d", sentences.astype(np.float64), weights, templates)
    return np.asarray(mean / np.linalg.norm(mean), np.float32)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
