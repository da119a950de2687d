"""Clips as samples, decoded once."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.studies.altered import image_spec, samples


@pytest.fixture(scope="session")
def clip(footage: Path) -> Callable[[str, int], list[NDArray[np.int8]]]:
    """Every so many frames of a clip: int8 [3, 144, 256] each."""
    kept: dict[tuple[str, int], list[NDArray[np.int8]]] = {}

    def load(name: str, every: int) -> list[NDArray[np.int8]]:
        if (name, every) not in kept:
            kept[name, every] = samples(footage / name, every, image_spec(144, 256))
        return kept[name, every]

    return load
