"""The command line in this process and as a process of its own, small videos, a small bundle."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import av
import numpy as np
import pytest
from command import Outcome, Run, in_process
from tiny_bundle import tiny_bundle

from edge.cli.main import main
from edge.testing import Faults, TestCamera
from edge.testing.synthetic import write_clip

CANARY = "canary-5f1d"
COLOURS = {"red": (220, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 220)}


@pytest.fixture
def edge(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs ``edge ARGUMENTS`` in this process, whose limits stay as they are for other tests."""
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr("edge.cli.commands.run.keep_to_ourselves", lambda: None)
    with in_process("edge", main, capsys, monkeypatch) as run:
        yield run


@pytest.fixture(scope="session")
def edge_process() -> Run:
    """Runs ``edge ARGUMENTS`` as a process."""

    def run(*arguments: object, python: Path | str = sys.executable) -> Outcome:
        repository = Path(__file__).resolve().parents[4]
        done = subprocess.run(
            [python, "-W", "error", "-m", "edge", *map(str, arguments)],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "PYTHONPATH": str(repository)},
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny").path


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of red, then two of blue; 10 fps, a keyframe every second."""
    return red_then_blue(tmp_path_factory.mktemp("clips") / "colours.mp4")


@pytest.fixture(scope="session")
def red_picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "red.png"
    pixels = np.full((48, 64, 3), COLOURS["red"], np.uint8)
    with av.open(path, "w", format="image2") as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
    return path


@pytest.fixture(scope="session")
def running_camera(clip: Path) -> Iterator[TestCamera]:
    with TestCamera({"yard": clip}, user="viewer", password=CANARY) as camera:
        yield camera


@pytest.fixture
def camera(running_camera: TestCamera) -> Iterator[TestCamera]:
    """A camera without faults; those that a test gives it end with the test."""
    yield running_camera
    none = Faults()
    for field in fields(Faults):
        if field.init:
            setattr(running_camera.faults, field.name, getattr(none, field.name))


def red_then_blue(path: Path) -> Path:
    def draw(time_s: float) -> np.ndarray:
        colour = COLOURS["red" if time_s < 2 else "blue"]
        return np.full((48, 64, 3), colour, np.uint8)

    return write_clip(path, width=64, height=48, fps=10, seconds=4, gop=10, pattern=draw)
