"""``edge-calibrate`` in this process, a small bundle, clips with planted events."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Run, in_process
from tiny_bundle import tiny_bundle

from calibration.cli.main import main
from edge.testing.synthetic import write_clip

COLOURS = {"red": (220, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 220)}
# What shows when in the clip of the fixture, 20 s at 10 fps: red twice, green between, else blue.
RED = ((3.0, 6.0), (13.0, 16.0))
GREEN = (8.0, 10.0)


@pytest.fixture
def calibrate(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setenv("COLUMNS", "200")
    with in_process("edge-calibrate", main, capsys, monkeypatch) as run:
        yield run


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny").path


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``yard.mp4``."""
    folder = tmp_path_factory.mktemp("clips")
    draw_clip(folder / "yard.mp4")
    return folder


def draw_clip(path: Path) -> Path:
    def draw(time_s: float) -> np.ndarray:
        colour = "blue"
        if any(start <= time_s < end for start, end in RED):
            colour = "red"
        elif GREEN[0] <= time_s < GREEN[1]:
            colour = "green"
        return np.full((48, 64, 3), COLOURS[colour], np.uint8)

    return write_clip(path, width=64, height=48, fps=10, seconds=20, gop=10, pattern=draw)


@pytest.fixture
def label_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes labels, the fixture clip's where none are given."""

    def write(*events: dict[str, Any], **changes: object) -> Path:
        told = [
            {"clip": "yard.mp4", "prompt": "red", "start_s": a, "end_s": b, "tol_s": 0.1} | changes
            for a, b in RED
        ]
        path = tmp_path / "events.json"
        path.write_text(json.dumps({"made_by": "us", "events": list(events) or told}))
        return path

    return write
