"""Clips as samples, decoded once."""

import pytest

from benchmarks.studies.altered import image_spec, samples


@pytest.fixture(scope="session")
def clip(footage):
    """Every so many frames of a clip: int8 [3, 144, 256] each."""
    kept = {}

    def load(name, every):
        if (name, every) not in kept:
            kept[name, every] = samples(footage / name, every, image_spec(144, 256))
        return kept[name, every]

    return load
