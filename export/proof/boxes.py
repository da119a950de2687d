"""Compares the boxes that two detectors find in a picture.

Boxes are compared as sets, because near ties change their order in a list.
"""

import numpy as np

from edge.scoring.boxes import Detections, overlaps

# Score above which a box of the reference must be found again.
_SURE = 0.4
# Overlap from which two boxes are at the same place.
_SAME_PLACE = 0.75


def matched_share(reference: Detections, found: Detections) -> float:
    """Return the share of the reference's sure boxes that were found again; 1 where it has none.

    A box is found again where a box of the same phrase overlaps it by at least three quarters.
    Boxes are paired one to one, the largest overlap first. For several pictures, add up the counts
    of ``matched``.
    """
    again, sure = matched(reference, found)
    return again / sure if sure else 1.0


def matched(reference: Detections, found: Detections) -> tuple[int, int]:
    """Return how many of the reference's sure boxes were found again, and how many it has."""
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
