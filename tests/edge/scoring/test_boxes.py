"""Scripted answers of a detector into labelled boxes; slow and obvious code as the reference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.model.bundle.manifest import ImageSpec
from edge.scoring.boxes import find_boxes, original_shares, overlaps, phrase_scores, suppress
from edge.video.preprocess import pixels_of_rgb

SPANS = (slice(1, 3), slice(4, 5))  # "a car", "person"
LENGTH = 8
SQUARE = ImageSpec(
    height=100, width=100, resize="stretch", interpolation="area", mean=(0, 0, 0), std=(1, 1, 1)
)


def letterbox(height: int, width: int) -> ImageSpec:
    return SQUARE.model_copy(update={"height": height, "width": width, "resize": "letterbox"})


def script(
    *rows: tuple[tuple[float, float, float, float], float, float],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits and boxes of queries that say: box as left, top, right, bottom; P(car), P(person)."""
    boxes = np.array([row[0] for row in rows], np.float64)
    sides = boxes[:, 2:] - boxes[:, :2]
    logits = np.full((1, len(rows), LENGTH), -80, np.float32)
    probabilities = np.array([row[1:] for row in rows])
    odds = np.log(probabilities / (1 - probabilities))
    logits[0, :, 2], logits[0, :, 4] = odds[:, 0], odds[:, 1]
    logits[0, :, [3, 5]] = 9  # full stops fit everything
    centred = np.concatenate([boxes[:, :2] + sides / 2, sides], axis=1)
    return logits, centred[np.newaxis].astype(np.float32)


LEFT, RIGHT = (0.1, 0.1, 0.4, 0.4), (0.6, 0.5, 0.9, 0.8)


def test_two_coloured_squares_are_exactly_two_labelled_boxes() -> None:
    logits, boxes = script(
        (LEFT, 0.9, 0.1),
        ((0.11, 0.1, 0.4, 0.41), 0.6, 0.2),  # the first square again
        (RIGHT, 0.2, 0.8),
        ((0.6, 0.5, 0.9, 0.79), 0.1, 0.7),  # the second again
        ((0.0, 0.0, 1.0, 1.0), 0.2, 0.1),  # nothing
    )
    found = find_boxes(logits, boxes, SPANS, 0.35, SQUARE, (200, 400))
    assert found.classes.tolist() == [0, 1]
    assert found.scores == pytest.approx([0.9, 0.8])
    assert found.boxes == pytest.approx(np.array([LEFT, RIGHT]), abs=1e-6)
    assert found.pixels == pytest.approx(np.array([LEFT, RIGHT]) * [400, 200, 400, 200], abs=1e-4)
    assert len(find_boxes(logits, boxes, SPANS, 0.05, SQUARE, (200, 400))) == 3


def test_the_best_box_comes_first_and_equal_ones_stay_in_order() -> None:
    logits, boxes = script((LEFT, 0.5, 0.1), (RIGHT, 0.1, 0.7), ((0, 0.5, 0.3, 0.9), 0.5, 0.1))
    found = find_boxes(logits, boxes, SPANS, 0.35, SQUARE, (100, 100))
    assert found.classes.tolist() == [1, 0, 0]
    assert found.boxes[1:, 0] == pytest.approx([0.1, 0.0], abs=1e-6)


def test_each_phrase_has_its_own_threshold() -> None:
    logits, boxes = script((LEFT, 0.6, 0.1), (RIGHT, 0.1, 0.6))
    found = find_boxes(logits, boxes, SPANS, (0.5, 0.7), SQUARE, (100, 100))
    assert found.classes.tolist() == [0]


def test_a_box_is_of_the_phrase_that_it_fits_best_even_if_that_one_wants_more() -> None:
    logits, boxes = script((LEFT, 0.6, 0.5))
    assert len(find_boxes(logits, boxes, SPANS, (0.7, 0.4), SQUARE, (100, 100))) == 0


def test_a_cat_and_a_dog_in_one_place_are_never_merged() -> None:
    logits, boxes = script((LEFT, 0.9, 0.1), (LEFT, 0.1, 0.85), (LEFT, 0.6, 0.1))
    found = find_boxes(logits, boxes, SPANS, 0.35, SQUARE, (100, 100))
    assert found.classes.tolist() == [0, 1]


def test_no_box_is_an_answer() -> None:
    logits, boxes = script((LEFT, 0.1, 0.1))
    found = find_boxes(logits, boxes, SPANS, 0.35, SQUARE, (100, 100))
    assert (len(found), found.boxes.shape, found.pixels.shape) == (0, (0, 4), (0, 4))


def test_a_phrase_scores_as_its_best_token_and_full_stops_do_not_count() -> None:
    logits = np.array([[[9, -1, 2, 9, -80, 9, 9, 9]]], np.float32)
    with np.errstate(all="raise"):
        scores = phrase_scores(logits, SPANS)
    assert scores == pytest.approx(np.array([[1 / (1 + np.exp(-2)), 0]]), abs=1e-6)


def test_a_box_on_the_bars_of_a_letterbox_is_nothing_and_one_over_them_is_cut() -> None:
    spec = letterbox(100, 100)  # a picture of 50 x 100 lies between bars of 25 rows
    on_bar, over, inside = (0.1, 0.0, 0.4, 0.2), (0.1, 0.1, 0.4, 0.5), (0.5, 0.25, 1.0, 0.75)
    logits, boxes = script((on_bar, 0.9, 0.1), (over, 0.8, 0.1), (inside, 0.7, 0.1))
    found = find_boxes(logits, boxes, SPANS, 0.35, spec, (50, 100))
    expected = np.array([(0.1, 0.0, 0.4, 0.5), (0.5, 0.0, 1.0, 1.0)])
    assert found.boxes == pytest.approx(expected, abs=1e-6)


@st.composite
def placed(
    draw: st.DrawFn,
) -> tuple[tuple[int, int], tuple[int, int, int, int], tuple[int, int]]:
    """A picture's size, a box in it, and the size of the detector's input."""
    height, width = draw(st.integers(60, 400)), draw(st.integers(60, 400))
    top, left = draw(st.integers(0, height - 40)), draw(st.integers(0, width - 40))
    bottom = draw(st.integers(top + 40, height))
    right = draw(st.integers(left + 40, width))
    return (
        (height, width),
        (left, top, right, bottom),
        draw(st.sampled_from([(96, 128), (160, 96)])),
    )


@settings(max_examples=60)
@given(placed(), st.sampled_from(["letterbox", "stretch"]))
def test_a_box_comes_back_to_where_preprocess_took_it_from(
    case: tuple[tuple[int, int], tuple[int, int, int, int], tuple[int, int]], resize: str
) -> None:
    (height, width), (left, top, right, bottom), (rows, columns) = case
    picture = np.zeros((height, width, 3), np.uint8)
    picture[top:bottom, left:right] = 255
    spec = letterbox(rows, columns).model_copy(update={"resize": resize})
    pixels = pixels_of_rgb(picture, spec)[0]  # the box is white, the picture black, bars grey
    y, x = np.nonzero(pixels > 60)
    seen = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1]) / [columns, rows, columns, rows]
    centred = np.concatenate([(seen[:2] + seen[2:]) / 2, seen[2:] - seen[:2]])[np.newaxis]
    found = original_shares(centred.astype(np.float32), spec, (height, width))[0]
    found = found * [width, height, width, height]
    pixel = max(height / rows, width / columns)  # of the input, in pixels of the picture
    if resize == "stretch":
        tolerance = np.array([width / columns, height / rows] * 2) + 1
    else:
        tolerance = np.full(4, pixel + 1)
    assert (np.abs(found - [left, top, right, bottom]) <= tolerance).all()


def naive_overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> np.float64:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = width * height if width > 0 and height > 0 else 0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return both / (sum(areas) - both)


def naive_suppress(boxes: NDArray[np.float64], classes: NDArray[np.int64]) -> list[int]:
    kept: list[int] = []
    for index, box in enumerate(boxes):
        rivals = [other for other in kept if classes[other] == classes[index]]
        if all(naive_overlap(box, boxes[other]) <= 0.7 for other in rivals):
            kept.append(index)
    return kept


@pytest.mark.parametrize("seed", range(20))
def test_suppression_is_that_of_the_slow_and_obvious_way(seed: int) -> None:
    rng = np.random.default_rng(seed)
    centres = rng.choice([0.3, 0.32, 0.6, 0.65], (60, 2))
    sides = rng.choice([0.2, 0.22, 0.3], (60, 2))
    boxes = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1).astype(np.float32)
    classes = rng.integers(0, 3, 60)
    kept = suppress(boxes, classes).tolist()
    assert kept == naive_suppress(boxes.astype(np.float64), classes)
    assert 3 < len(kept) < 60


def test_boxes_without_area_overlap_nothing() -> None:
    boxes = np.array([[0.1, 0.1, 0.1, 0.5], [0.2, 0.2, 0.4, 0.4]], np.float32)
    assert overlaps(boxes, boxes) == pytest.approx(np.array([[0, 0], [0, 1]]))
