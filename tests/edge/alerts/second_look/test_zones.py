"""What stands in a zone."""

import math
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edge.alerts.second_look import Box
from edge.alerts.second_look.zones import foot, is_inside, standing_in

SQUARE = ((0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8))
# A U: its opening at the top is outside.
HORSESHOE = (
    (0.1, 0.1),
    (0.3, 0.1),
    (0.3, 0.7),
    (0.7, 0.7),
    (0.7, 0.1),
    (0.9, 0.1),
    (0.9, 0.9),
    (0.1, 0.9),
)


def box(left: float, top: float, right: float, bottom: float) -> Box:
    return Box("a person", 0.9, (left, top, right, bottom))


@pytest.mark.parametrize(
    ("point", "polygon", "inside"),
    [
        ((0.5, 0.5), SQUARE, True),
        ((0.1, 0.5), SQUARE, False),
        ((0.9, 0.5), SQUARE, False),
        ((0.2, 0.5), SQUARE, True),  # on an edge
        ((0.8, 0.8), SQUARE, True),  # on a corner
        ((0.5, 0.3), HORSESHOE, False),
        ((0.2, 0.3), HORSESHOE, True),
        ((0.5, 0.8), HORSESHOE, True),
    ],
)
def test_points_and_polygons(
    point: tuple[float, float], polygon: tuple[Any, ...], inside: bool
) -> None:
    assert is_inside(point, polygon) is inside


def test_what_counts_is_where_it_stands_and_not_where_its_head_is() -> None:
    assert foot(box(0.4, 0.1, 0.6, 0.5)) == (0.5, 0.5)
    head_only, feet_only = box(0.4, 0.3, 0.6, 0.95), box(0.4, 0.0, 0.6, 0.3)
    assert standing_in([head_only, feet_only], [SQUARE]) == (feet_only,)


def test_one_of_several_zones_is_enough() -> None:
    left = ((0.0, 0.0), (0.1, 0.0), (0.1, 1.0), (0.0, 1.0))
    assert standing_in([box(0.4, 0.1, 0.6, 0.5)], [left, SQUARE])
    assert standing_in([box(0.4, 0.1, 0.6, 0.5)], [left]) == ()


def winding(point: tuple[float, float], polygon: list[tuple[float, float]]) -> int:
    """How often the polygon goes around the point: 0 is outside (another definition)."""
    total = 0.0
    for a, b in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        turn = math.atan2(b[1] - point[1], b[0] - point[0]) - math.atan2(
            a[1] - point[1], a[0] - point[0]
        )
        total += (turn + math.pi) % (2 * math.pi) - math.pi
    return round(total / (2 * math.pi))


shares = st.floats(0, 1)


@given(st.tuples(shares, shares), st.lists(shares, min_size=3, max_size=8, unique=True))
def test_it_agrees_with_the_winding_number_of_star_shaped_polygons(
    point: tuple[float, float], radii: list[float]
) -> None:
    angles = [2 * math.pi * k / len(radii) for k in range(len(radii))]
    polygon = [
        (0.5 + (0.1 + 0.4 * r) * math.cos(a), 0.5 + (0.1 + 0.4 * r) * math.sin(a))
        for r, a in zip(radii, angles, strict=True)
    ]
    distances = [
        abs((b[0] - a[0]) * (point[1] - a[1]) - (b[1] - a[1]) * (point[0] - a[0]))
        for a, b in zip(polygon, (*polygon[1:], polygon[0]), strict=True)
    ]
    assume(min(distances) > 1e-6)  # not on an edge, where the angle is not defined
    assert is_inside(point, polygon) == (winding(point, polygon) != 0)
