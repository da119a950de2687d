"""Compares what two detectors find in a picture, as sets: near ties change places in a list."""

import numpy as np

from edge.scoring.boxes import Detections, overlaps

# What the reference is surer of than this must be found again.
_SURE = 0.4
_SAME_PLACE = 0.75


def matched_share(reference: Detections, found: Detections) -> float:
    """The share of the reference's sure boxes that were found again; 1 where it has none.

    A box is found again by one of the same phrase that overlaps it by at least three quarters.
    Each box finds one other at most, those that overlap most first. Of several pictures take the
    shares of ``matched`` together.
    """
    again, sure = matched(reference, found)
    return again / sure if sure else 1.0


def matched(reference: Detections, found: Detections) -> tuple[int, int]:
    """How many of the reference's boxes above a score of 0.4 were found again, and of how many."""
    sure = np.flatnonzero(reference.scores > _SURE)
    if not len(sure) or not len(found):
        return 0, len(sure)
    overlap = overlaps(reference.pixels[sure], found.pixels)  # [sure, found]
    overlap[reference.classes[sure][:, np.newaxis] != found.classes] = 0
    again = 0
    while (best := overlap.max()) >= _SAME_PLACE:
        row, column = np.argwhere(overlap == best)[0]
        overlap[row] = overlap[:, column] = 0
        again += 1
    return again, len(sure)
