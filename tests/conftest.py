"""Fixtures shared by all tests."""

from pathlib import Path

import pytest
from hypothesis import settings

# A machine that is busy with something else must not fail a property.
settings.register_profile("project", deadline=None)
settings.load_profile("project")

FOOTAGE = Path(__file__).resolve().parents[2] / "shared" / "footage"


@pytest.fixture(scope="session")
def footage() -> Path:
    """The directory of real clips, or a visible skip."""
    if not FOOTAGE.is_dir():
        pytest.skip(f"real footage not found: expected clips in {FOOTAGE}")
    return FOOTAGE
