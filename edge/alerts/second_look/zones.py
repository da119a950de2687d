"""Does something stand in a zone? Pure.

What stands there is what its box stands on: the middle of its lower edge. A camera looks down at an
angle, so a box's centre or its upper part lies over ground that is far behind.
"""

from collections.abc import Sequence

from edge.alerts.second_look.base import Box

Polygon = Sequence[tuple[float, float]]


def foot(box: Box) -> tuple[float, float]:
    """Where the thing in a box stands, in 0..1 of the picture."""
    left, _, right, bottom = box.box
    return (left + right) / 2, bottom


def is_inside(point: tuple[float, float], polygon: Polygon) -> bool:
    """Whether ``point`` lies in ``polygon``; its edges belong to it.

    A ray to the right crosses the edges an odd number of times (even-odd rule).
    """
    x, y = point
    inside = False
    for (ax, ay), (bx, by) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        if _is_on(point, (ax, ay), (bx, by)):
            return True
        if (ay > y) != (by > y) and x < ax + (y - ay) / (by - ay) * (bx - ax):
            inside = not inside
    return inside


def _is_on(point: tuple[float, float], a: tuple[float, float], b: tuple[float, float]) -> bool:
    (x, y), (ax, ay), (bx, by) = point, a, b
    if not (min(ax, bx) <= x <= max(ax, bx) and min(ay, by) <= y <= max(ay, by)):
        return False
    return abs((bx - ax) * (y - ay) - (by - ay) * (x - ax)) < 1e-12


def standing_in(boxes: Sequence[Box], polygons: Sequence[Polygon]) -> tuple[Box, ...]:
    """The boxes that stand in one of ``polygons``, in their order."""
    return tuple(box for box in boxes if any(is_inside(foot(box), polygon) for polygon in polygons))
