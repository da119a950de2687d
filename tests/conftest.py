"""Fixtures shared by all tests."""

from pathlib import Path

import pytest

FOOTAGE = Path(__file__).resolve().parents[2] / "shared" / "footage"


@pytest.fixture(scope="session")
def footage() -> Path:
    """The directory of real clips, or a visible skip."""
    if not FOOTAGE.is_dir():
        pytest.skip(f"real footage not found: expected clips in {FOOTAGE}")
    return FOOTAGE
