"""Two detectors compared as sets of boxes."""

import numpy as np
import pytest

from edge.scoring.boxes import Detections
from export.proof.boxes import matched, matched_share


def detections(*rows: tuple[float, ...]) -> Detections:
    """Rows are: left, top, right, bottom, score, class; in pixels of 100 x 100."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(
        table[:, :4] / np.float32(100), table[:, :4], table[:, 4], table[:, 5].astype(np.intp)
    )


ONE, TWO = (10, 10, 30, 30, 0.9, 0), (50, 50, 90, 90, 0.8, 1)


def test_the_same_boxes_in_another_order_match_whole() -> None:
    assert matched_share(detections(ONE, TWO), detections(TWO, ONE)) == 1


def test_moved_a_little_is_found_and_moved_much_or_renamed_is_not() -> None:
    def share(box: tuple[float, ...]) -> float:
        return matched_share(detections(ONE), detections(box))

    assert share((12, 10, 32, 30, 0.7, 0)) == 1  # overlap 18 / 22 = 0.82
    assert share((13, 10, 33, 30, 0.7, 0)) == 0  # overlap 17 / 23 = 0.74
    assert share((10, 10, 30, 30, 0.7, 1)) == 0


def test_only_boxes_that_the_reference_is_sure_of_count() -> None:
    unsure = (*TWO[:4], 0.4, 1)
    assert matched(detections(ONE, unsure), detections(ONE)) == (1, 1)
    assert matched_share(detections(unsure), detections()) == 1
    assert matched(detections(ONE, TWO), detections()) == (0, 2)
    assert matched_share(detections(ONE, TWO), detections()) == 0


def test_one_box_is_not_found_for_two() -> None:
    near = (11, 10, 31, 30, 0.8, 0)
    assert matched(detections(ONE, near), detections(near)) == (1, 2)
    assert matched(detections(ONE, near), detections(near, ONE)) == (2, 2)


def test_the_score_of_what_was_found_does_not_matter() -> None:
    assert matched_share(detections(ONE), detections((*ONE[:4], 0.1, 0))) == pytest.approx(1)
