"""Zones that can hold nothing, or have no clear inside, are pointed out."""

import pytest

from edge.cli.checks.zones import Point, zone_problem, zone_remarks
from edge.config.models import CameraConfig

SQUARE = ((0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.1, 0.9))
ARROW = ((0.0, 0.0), (0.5, 0.4), (1.0, 0.0), (0.5, 1.0))  # turns inwards once


@pytest.mark.parametrize(
    "polygon", [SQUARE, SQUARE[::-1], (*SQUARE, SQUARE[0]), ARROW, (SQUARE[0], *SQUARE)]
)
def test_a_zone_that_goes_around_once_is_fine(polygon: tuple[Point, ...]) -> None:
    assert zone_problem(polygon) is None


@pytest.mark.parametrize(
    ("polygon", "said"),
    [
        (((0, 0), (1, 1), (1, 0), (0, 1)), "crosses itself between corners 1 and 3"),
        (((0, 0), (1, 1), (1, 0), (0, 1), (0, 0)), "crosses itself between corners 1 and 3"),
        (((0, 0), (1, 1), (1, 1), (1, 0), (0, 1)), "crosses itself between corners 1 and 4"),
        (((0.2, 0.2), (0.8, 0.8), (0.8, 0.2), (0.3, 0.9), (0.2, 0.9)), "crosses itself"),
        (((0, 0), (0.5, 0.5), (1, 1)), "has no area"),
        (((0.3, 0.3), (0.3, 0.3), (0.3, 0.3)), "has no area"),
        (((0.3, 0.3), (0.3001, 0.3), (0.3, 0.3001)), "has no area"),
    ],
)
def test_a_zone_that_crosses_itself_or_holds_nothing_is_named(
    polygon: tuple[Point, ...], said: str
) -> None:
    assert (zone_problem(polygon) or "").startswith(said)
    camera = CameraConfig.model_validate({"url": "x.mp4", "zones": {"gap": polygon, "all": SQUARE}})
    (remark,) = zone_remarks({"yard": camera})
    assert remark.startswith(f"cameras.yard.zones.gap {said}")
