"""The picture that the golden references were computed on, made from nothing but integers."""

import numpy as np
from numpy.typing import NDArray

_BLOCK = 24


def picture(height: int, width: int) -> NDArray[np.uint8]:
    """Return coarse coloured blocks under fine noise, uint8 [H,W,3].

    Structure at two scales moves every layer of a network; ``make_centernet.mjs`` has the same
    arithmetic in JavaScript.
    """
    columns = -(-width // _BLOCK)
    count = -(-height // _BLOCK) * columns * 3
    stream = _bytes(count + height * width * 3)
    blocks = stream[:count].reshape(-1, columns, 3).repeat(_BLOCK, 0).repeat(_BLOCK, 1)
    noise = stream[count:].reshape(height, width, 3)
    return ((3 * blocks[:height, :width] + noise) >> 2).astype(np.uint8)


def _bytes(count: int) -> NDArray[np.uint32]:
    """High bytes of the linear congruential generator of Numerical Recipes, from state 1."""
    powers = np.cumprod(np.full(count, 1664525, np.uint32), dtype=np.uint32)  # a, a^2, ...
    sums = np.cumsum(powers, dtype=np.uint32) - powers + np.uint32(1)  # 1, 1 + a, ...
    return (powers + np.uint32(1013904223) * sums) >> np.uint32(24)
