"""Decides which boxes stand in a zone. Pure.

A thing stands where the middle of its box's lower edge is. A camera looks down at an angle, so the
centre or the upper part of a box lies over ground that is far behind the thing.
"""

from collections.abc import Sequence

from edge.alerts.second_look.base import Box

Polygon = Sequence[tuple[float, float]]


def foot(box: Box) -> tuple[float, float]:
    """Return where the thing in a box stands, in 0..1 of the picture."""
    left, _, right, bottom = box.box
    return (left + right) / 2, bottom


def is_inside(point: tuple[float, float], polygon: Polygon) -> bool:
    """Return whether ``point`` lies in ``polygon``, whose edges belong to it.

    A ray from an inner point to the right crosses the edges an odd number of times (even-odd rule).
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
    """Return the boxes that stand in one of ``polygons``, in their order."""
    return tuple(box for box in boxes if any(is_inside(foot(box), polygon) for polygon in polygons))
