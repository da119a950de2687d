"""Pools the cosines of a camera's last samples into one cosine for each sentence.

Frames are embedded once each and scored together, like a clip, with every sample.

Letters in shapes: N samples held, K sentences, L words of a sentence, D embedding.

``mean``
    The cosine of a sentence and the normalised mean of the frames: what lasts, counts.
``aosm``
    Attention over the similarity matrix, of X-CLIP (Ma et al., ACM MM 2022, section 3.3; not
    Microsoft's model of the same name): a smooth maximum, so one frame in twelve is enough. With
    words, four grains are averaged (sentence or word against clip or frame); without words, the two
    grains of the sentence. The learned mixers are the identity, and padded words are masked, which
    the released code does not do.
``glscl``
    Frames weighted by how well they fit the sentence: softmax over features that are not
    normalised, at temperature 3 (Zhang et al., TIP 2025).

All three ignore the order of frames (``edge.rules.temporal.track`` does not).
"""

from collections import deque
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

TAU: Final = 0.01
"""Temperature of AOSM: towards 0 it is the maximum, towards infinity the mean."""
# GLSCL divides products of features by 3. CLIP's features have a length of about 10, so products of
# unit vectors are multiplied by 100 first, which is CLIP's own logit scale too.
GLSCL_SHARPNESS: Final = 100.0 / 3.0

Kind = Literal["mean", "aosm", "glscl"]
_Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """What a text graph says about single words.

    Attributes:
        states: float32 [K, L, D], unit rows.
        mask: bool [K, L]: which rows are words.
    """

    states: _Floats
    mask: NDArray[np.bool_]


class Pool(Protocol):
    """Remembers a camera's last samples."""

    def push(self, cosines: _Floats, embedding: _Floats | None) -> _Floats:
        """Add a sample, and pool all samples that are held.

        Args:
            cosines: float32 [K] of the sample.
            embedding: float32 [D] of the sample; None where the model gives none: then cosines
                alone are pooled.

        Returns:
            float32 [K]: pooled cosine of each sentence.
        """
        ...


def pool_of(kind: Kind, frames: int, words: Words | None = None) -> Pool:
    """Make a pool over ``frames`` samples; ``words`` are only for ``aosm``."""
    if kind == "aosm":
        return _Aosm(frames, words)
    return _Weighted(frames, GLSCL_SHARPNESS if kind == "glscl" else 0.0)


class _Weighted:
    """``glscl``; with a sharpness of 0 it is ``mean``."""

    def __init__(self, frames: int, sharpness: float) -> None:
        self._cosines: deque[_Floats] = deque(maxlen=frames)
        self._embeddings: deque[_Floats] = deque(maxlen=frames)
        self._sharpness = sharpness

    def push(self, cosines: _Floats, embedding: _Floats | None) -> _Floats:
        self._cosines.append(cosines)
        if embedding is not None:
            self._embeddings.append(embedding)
        frames = np.stack(self._embeddings) if self._embeddings else None
        return weighted(np.stack(self._cosines), frames, self._sharpness)


class _Aosm:
    def __init__(self, frames: int, words: Words | None) -> None:
        self._cosines: deque[_Floats] = deque(maxlen=frames)
        self._embeddings: deque[_Floats] = deque(maxlen=frames)
        self._of_words: deque[_Floats] = deque(maxlen=frames)  # [K, L] each: columns of S
        self._words = words

    def push(self, cosines: _Floats, embedding: _Floats | None) -> _Floats:
        self._cosines.append(cosines)
        if embedding is None:
            return attend(np.stack(self._cosines), TAU)
        self._embeddings.append(embedding)
        frames, of_frames = np.stack(self._embeddings), np.stack(self._cosines)
        if self._words is None:
            return aosm(of_frames, frames)
        self._of_words.append(self._words.states @ embedding)
        return aosm(of_frames, frames, self._words, np.stack(self._of_words))


def weighted(of_frames: _Floats, frames: _Floats | None, sharpness: float) -> _Floats:
    """Cosine of each sentence and a weighted mean of the frames, float32 [K].

    Args:
        of_frames: float32 [N, K]: cosine of each frame and sentence.
        frames: float32 [N, D], unit rows; None: take the weighted mean of the cosines instead.
        sharpness: Sharpness of the softmax that weighs the frames for each sentence.
    """
    weights = softmax(of_frames * np.float32(sharpness), axis=0)  # [N, K]
    dots = (weights * of_frames).sum(axis=0)
    if frames is None:
        return np.asarray(dots, np.float32)
    lengths = np.linalg.norm(weights.T @ frames, axis=1)  # [K]
    return np.asarray(dots / np.maximum(lengths, 1e-6), np.float32)


def aosm(
    of_frames: _Floats,
    frames: _Floats,
    words: Words | None = None,
    of_words: _Floats | None = None,
    tau: float = TAU,
) -> _Floats:
    """Attention over the similarity matrix, float32 [K].

    Args:
        of_frames: float32 [N, K]: cosine of each frame and sentence.
        frames: float32 [N, D], unit rows.
        words: Words of the sentences; given together with ``of_words``.
        of_words: float32 [N, K, L]: cosine of each frame and word.
        tau: Temperature.
    """
    sentence_clip = weighted(of_frames, frames, 0.0)
    sentence_frame = attend(of_frames, tau)
    if words is None or of_words is None:
        return np.asarray((sentence_clip + sentence_frame) / 2, np.float32)
    mean = frames.mean(axis=0)
    clip = mean / max(float(np.linalg.norm(mean)), 1e-6)
    mask = words.mask.T  # [L, K]
    word_clip = attend((words.states @ clip).T, tau, mask)
    over_words = attend(np.moveaxis(of_words, 2, 0), tau, mask[:, np.newaxis])  # [N, K]
    over_frames = attend(of_words, tau)  # [K, L]
    word_frame = (attend(over_words, tau) + attend(over_frames.T, tau, mask)) / 2
    return np.asarray((sentence_clip + sentence_frame + word_clip + word_frame) / 4, np.float32)


def attend(values: _Floats, tau: float, mask: NDArray[np.bool_] | None = None) -> _Floats:
    """A(x) = sum of softmax(x / tau) x along the first axis, without what ``mask`` leaves out.

    The value lies between the mean (large ``tau``) and the maximum (small ``tau``).
    """
    weights = softmax(values / np.float32(tau), axis=0, mask=mask)
    return np.asarray((weights * values).sum(axis=0), np.float32)


def softmax(logits: _Floats, axis: int, mask: NDArray[np.bool_] | None = None) -> _Floats:
    """Softmax along ``axis``; the weight is 0 where ``mask`` is False."""
    logits = logits if mask is None else np.where(mask, logits, -np.inf)
    weights = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return np.asarray(weights / weights.sum(axis=axis, keepdims=True), np.float32)
