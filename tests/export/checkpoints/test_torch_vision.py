"""A torchvision that was built for another torch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from exported import Exports

CODE = """
import sys
from pathlib import Path
from export.checkpoints.checkpoint import open_checkpoint
print(type(open_checkpoint(sys.argv[1]).model).__name__)
"""


@pytest.fixture
def misfit(tmp_path: Path) -> dict[str, str]:
    """An environment whose torchvision fails as the real one does."""
    package = tmp_path / "site" / "torchvision"
    package.mkdir(parents=True)
    error = "raise RuntimeError('operator torchvision::nms does not exist')\n"
    (package / "__init__.py").write_text(error)
    return os.environ | {"PYTHONPATH": str(package.parent), "HF_HUB_OFFLINE": "1"}


def opened(source: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE, str(source)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_it_does_not_stop_what_needs_no_torchvision(
    exports: Exports, misfit: dict[str, str]
) -> None:
    done = opened(exports.checkpoint("clip"), misfit)
    assert done.stdout.strip() == "CLIPModel", done.stderr
    assert "torchvision does not fit torch and is left out" in done.stderr


@pytest.mark.slow
def test_what_needs_it_says_so(exports: Exports, misfit: dict[str, str]) -> None:
    done = opened(exports.checkpoint("open_clip"), misfit)
    assert done.returncode == 1
    assert "ConfigError: expected the package open_clip" in done.stderr
