"""Saved checkpoints of tiny models, and copies that a test may break."""

import shutil
from pathlib import Path

import pytest
import tiny_checkpoints as testing


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return testing.tiny_clip(tmp_path_factory.mktemp("clip") / "My CLIP")


@pytest.fixture(scope="module")
def saved_open_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return testing.tiny_open_clip(tmp_path_factory.mktemp("open_clip") / "remote")


@pytest.fixture
def clip(saved: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return shutil.copytree(saved, tmp_path / "clip")


@pytest.fixture
def open_clip(saved_open_clip: Path, tmp_path: Path) -> Path:
    return shutil.copytree(saved_open_clip, tmp_path / "open_clip")
