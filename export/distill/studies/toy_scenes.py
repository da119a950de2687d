"""Renders the scenes of the toy study: a coloured shape on a noisy background, with its kind.

Letters in shapes: N scenes, S side.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

SIDE: Final = 32
SHAPES: Final = ("disc", "square", "ring", "cross", "bar")
COLOURS: Final = (
    (220, 40, 40), (40, 200, 60), (50, 80, 230), (230, 210, 50), (200, 60, 210), (60, 210, 210),
)  # fmt: skip
KINDS: Final = len(SHAPES) * len(COLOURS)


def scenes(count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Draw scenes.

    Args:
        count: Number of scenes, N.
        seed: Seed; the same seed gives the same scenes.

    Returns:
        Scenes, float32 [N, 3, S, S], about -1..1, and their kinds, 0..``KINDS`` - 1, int64 [N].
    """
    random = np.random.default_rng(seed)
    kinds = random.integers(KINDS, size=count)
    return np.stack([_scene(int(kind), random) for kind in kinds]), kinds


def _scene(kind: int, random: np.random.Generator) -> NDArray[np.float32]:
    shape, colour = divmod(kind, len(COLOURS))
    radius = random.uniform(4, 9)
    centre = random.uniform(radius, SIDE - radius, size=2)
    rows, columns = np.mgrid[:SIDE, :SIDE] - centre.reshape(2, 1, 1)
    mask = _mask(SHAPES[shape], rows / radius, columns / radius)
    background = random.uniform(60, 190, size=3).reshape(3, 1, 1)
    paint = np.array(COLOURS[colour]).reshape(3, 1, 1) * random.uniform(0.6, 1.1)
    picture = np.where(mask, paint, background) + random.normal(0, 12, (3, SIDE, SIDE))
    return ((picture - 127) / 64).astype(np.float32)


def _mask(shape: str, rows: NDArray[np.float64], columns: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mask of the shape at coordinates in units of its radius."""
    distance = np.hypot(rows, columns)
    high, wide = np.abs(rows), np.abs(columns)
    match shape:
        case "disc":
            return distance < 1
        case "square":
            return np.maximum(high, wide) < 0.85
        case "ring":
            return np.abs(distance - 0.75) < 0.25
        case "cross":
            return (np.minimum(high, wide) < 0.3) & (np.maximum(high, wide) < 1)
        case _:
            return (high < 0.35) & (wide < 1)
