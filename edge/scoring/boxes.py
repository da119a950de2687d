"""Turns a detector's answer into boxes, each with the phrase that it shows. Pure.

Letters in shapes: Q queries of the detector, L tokens, P phrases, B boxes that are kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.model.bundle.manifest import ImageSpec
from edge.video.placement import placement

# Two boxes of one phrase whose intersection over union is larger show one thing. The model itself
# leaves such pairs in its answer.
SAME_THING: Final = 0.7


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """B boxes, best first.

    Attributes:
        boxes: float32 [B, 4]: left, top, right, bottom in 0..1 of the original picture.
        pixels: float32 [B, 4]: left, top, right, bottom in pixels of the original picture.
        scores: float32 [B]: score of each box, 0..1.
        classes: intp [B]: index of each box's phrase.
    """

    boxes: NDArray[np.float32]
    pixels: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.scores)


def phrase_scores(logits: NDArray[np.float32], spans: Sequence[slice]) -> NDArray[np.float32]:
    """Score each query against each phrase: the score of the phrase's best token.

    The full stop that closes a phrase does not count, because it fits whatever fits any phrase.

    Args:
        logits: float32 [1, Q, L].
        spans: Tokens of each phrase.

    Returns:
        float32 [Q, P] in 0..1.
    """
    best = np.stack([logits[0, :, span].max(axis=1) for span in spans], axis=1)
    return np.asarray(0.5 * (1 + np.tanh(best / 2)), np.float32)  # a sigmoid that cannot overflow


def find_boxes(
    logits: NDArray[np.float32],
    boxes: NDArray[np.float32],
    spans: Sequence[slice],
    thresholds: float | Sequence[float],
    spec: ImageSpec,
    size: tuple[int, int],
) -> Detections:
    """Turn the answer of a detector that reads a caption into boxes; see ``keep_boxes``.

    Args:
        logits: float32 [1, Q, L].
        boxes: float32 [1, Q, 4].
        spans: Tokens of each phrase.
        thresholds: Smallest score of a box, 0..1: one for all phrases, or one for each.
        spec: How the picture was fitted into the detector's input.
        size: Height and width of the original picture.
    """
    return keep_boxes(phrase_scores(logits, spans), boxes, thresholds, spec, size)


def keep_boxes(
    scores: NDArray[np.float32],
    boxes: NDArray[np.float32],
    thresholds: float | Sequence[float],
    spec: ImageSpec,
    size: tuple[int, int],
) -> Detections:
    """Turn scored queries into boxes of the original picture.

    A box belongs to the phrase that it fits best. It is kept if it reaches that phrase's threshold
    and repeats no better box of the same phrase.

    Args:
        scores: float32 [Q, P], 0..1.
        boxes: float32 [1, Q, 4]: centre x, centre y, width, height in 0..1 of the detector's input.
        thresholds: Smallest score of a box, 0..1: one for all phrases, or one for each.
        spec: How the picture was fitted into the detector's input.
        size: Height and width of the original picture.
    """
    classes = scores.argmax(axis=1)
    best = scores.max(axis=1)
    shares = original_shares(boxes[0], spec, size)
    seen = (shares[:, 2:] > shares[:, :2]).all(axis=1)  # not on the letterbox's bars alone
    wanted = np.broadcast_to(np.asarray(thresholds, np.float32), scores.shape[1])[classes]
    kept = np.flatnonzero(seen & (best >= wanted))
    kept = kept[np.argsort(-best[kept], kind="stable")]
    kept = kept[suppress(shares[kept], classes[kept])]
    height, width = size
    return Detections(
        boxes=shares[kept],
        pixels=shares[kept] * np.asarray([width, height, width, height], np.float32),
        scores=best[kept],
        classes=classes[kept],
    )


def original_shares(
    boxes: NDArray[np.float32], spec: ImageSpec, size: tuple[int, int]
) -> NDArray[np.float32]:
    """Convert boxes of the detector's input into boxes of the original picture, cut at its edges.

    Args:
        boxes: float32 [n, 4]: centre x, centre y, width, height in 0..1 of the detector's input.
        spec: How the picture was fitted into the detector's input.
        size: Height and width of the original picture.

    Returns:
        float32 [n, 4]: left, top, right, bottom in 0..1.
    """
    place = placement(spec, *size)
    centres, halves = boxes[:, :2].astype(np.float64), boxes[:, 2:].astype(np.float64) / 2
    corners = np.concatenate([centres - halves, centres + halves], axis=1)  # [n, 4]
    canvas = np.asarray([spec.width, spec.height] * 2)
    offset = np.asarray([place.left, place.top] * 2)
    scaled = np.asarray([place.width, place.height] * 2)
    shares = (corners * canvas - offset) / scaled
    return np.asarray(np.clip(shares, 0, 1), np.float32)


def suppress(boxes: NDArray[np.float32], classes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Find the boxes that repeat no better box of their own class; their indices, best first.

    Args:
        boxes: float32 [n, 4]: left, top, right, bottom; best first.
        classes: intp [n]: index of each box's phrase.
    """
    alike = (overlaps(boxes, boxes) > SAME_THING) & (classes[:, np.newaxis] == classes)
    kept: list[int] = []
    for index in range(len(boxes)):
        if not alike[index, kept].any():
            kept.append(index)
    return np.asarray(kept, np.intp)


def overlaps(ours: NDArray[Any], theirs: NDArray[Any]) -> NDArray[np.float64]:
    """Compute the intersection over union of each box of ``ours`` with each box of ``theirs``.

    A box without area overlaps nothing.

    Args:
        ours: [n, 4]: left, top, right, bottom.
        theirs: [m, 4]: left, top, right, bottom.

    Returns:
        float64 [n, m] in 0..1.
    """
    a, b = ours.astype(np.float64)[:, np.newaxis], theirs.astype(np.float64)[np.newaxis]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    both = np.clip(sides, 0, None).prod(axis=-1)
    either = _area(a) + _area(b) - both
    shares: NDArray[np.float64] = np.divide(both, either, out=np.zeros_like(both), where=either > 0)
    return shares


def _area(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    area: NDArray[np.float64] = np.clip(boxes[..., 2:] - boxes[..., :2], 0, None).prod(axis=-1)
    return area
