"""Checks the zones of cameras: do they have an area, and an inside? Pure."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Final

from edge.config.models import CameraConfig

Point = tuple[float, float]

_LEAST: Final = 1e-6
"""Smallest area of a zone, as a share of the picture: two pixels of 1920 x 1080."""


def zone_remarks(cameras: Mapping[str, CameraConfig]) -> Iterator[str]:
    """Yield what to mend in the zones of these cameras, one sentence each."""
    for camera, settings in cameras.items():
        for name, polygon in settings.zones.items():
            if problem := zone_problem(polygon):
                yield f"cameras.{camera}.zones.{name} {problem}"


def zone_problem(polygon: tuple[Point, ...]) -> str | None:
    """Return what is wrong with a polygon of corners in 0..1; None where nothing is."""
    numbers = _distinct(polygon)
    corners = [polygon[number] for number in numbers]
    edges = list(zip(corners, (*corners[1:], *corners[:1]), strict=True))
    for (i, one), (j, other) in combinations(enumerate(edges), 2):
        if j - i in {1, len(edges) - 1}:
            continue  # neighbours meet in a corner
        if _cross(one, other):
            at, by = numbers[i] + 1, numbers[j] + 1
            return f"crosses itself between corners {at} and {by}: go around it once"
    area = abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in edges)) / 2
    return "has no area: nothing can be in it" if area < _LEAST else None


def _distinct(polygon: tuple[Point, ...]) -> list[int]:
    """Return the places of the corners, without those that repeat the one before or close it."""
    kept = [i for i, corner in enumerate(polygon) if i == 0 or corner != polygon[i - 1]]
    closed = len(kept) > 1 and polygon[kept[-1]] == polygon[0]  # as some tools draw it
    return kept[:-1] if closed else kept


def _cross(one: tuple[Point, Point], other: tuple[Point, Point]) -> bool:
    """Whether two edges cross in a point that is no end of either."""
    (a, b), (c, d) = one, other
    return _turn(a, b, c) * _turn(a, b, d) < 0 and _turn(c, d, a) * _turn(c, d, b) < 0


def _turn(a: Point, b: Point, c: Point) -> float:
    """Return above 0 where the way from a over b to c turns one way, below 0 for the other."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
