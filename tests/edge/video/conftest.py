"""Small clips, a camera that plays them, and waiting with a deadline."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from patience import Until

from edge.config.models import CameraConfig, SnapshotsConfig
from edge.model.bundle.manifest import ImageSpec
from edge.testing import Clip, TestCamera
from edge.testing.synthetic import write_clip
from edge.video.process.beginning import Beginning
from edge.video.process.camera import ProcessCamera
from edge.video.process.limits import LIMITS, ProcessLimits
from edge.video.process.supervisor import Supervisor
from edge.video.spans import JudgedSpans


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds at 10 fps with a keyframe every second, no B-frames."""
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    return write_clip(path, fps=10, seconds=4, gop=10)


@pytest.fixture(scope="session")
def bframes_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds at 10 fps, two B-frames in a row, so pictures leave in another order."""
    path = tmp_path_factory.mktemp("video") / "bframes.mp4"
    return write_clip(path, fps=10, seconds=2, gop=10, bframes=2)


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """What the camera shows: 25 fps, a keyframe every second."""
    path = tmp_path_factory.mktemp("video") / "recording.mp4"
    return Clip.read(write_clip(path, fps=25, seconds=4, gop=25))


@pytest.fixture
def camera(recording: Clip) -> Iterator[TestCamera]:
    with TestCamera({"yard": recording}, user="viewer", password="s3cr3t-pass") as camera:
        yield camera


@pytest.fixture
def until() -> Until:
    """Wait until a condition holds, or fail with what it was."""

    def wait(what: str, holds: Callable[[], object], deadline_s: float = 15.0) -> None:
        give_up = time.monotonic() + deadline_s
        while not holds():
            assert time.monotonic() < give_up, f"not within {deadline_s} s: {what}"
            time.sleep(0.01)

    return wait


@pytest.fixture(scope="session")
def image_spec() -> Callable[..., ImageSpec]:
    """Build a spec; 224 x 224, bicubic, shortest edge unless the test says otherwise."""

    def build(**facts: object) -> ImageSpec:
        defaults = {
            "height": 224,
            "width": 224,
            "resize": "shortest_edge",
            "interpolation": "bicubic",
            "mean": (127.0, 127.0, 127.0),
            "std": (128.0, 128.0, 128.0),
        }
        return ImageSpec.model_validate(defaults | facts)

    return build


@pytest.fixture(scope="session")
def supervisor() -> Iterator[Supervisor]:
    """Supervisor of all cameras of the tests, as its server takes a moment to load its libraries."""
    one = Supervisor()
    one.start()
    yield one
    assert one.stop(5.0)


@pytest.fixture
def watch(
    request: pytest.FixtureRequest, image_spec: Callable[..., ImageSpec], supervisor: Supervisor
) -> Callable[..., ProcessCamera]:
    """Start a worker on a URL; it is stopped at the end of the test."""

    def start(
        url: Path | str,
        *,
        snapshots: SnapshotsConfig | None = None,
        wake: Callable[[], None] = lambda: None,
        fps: float = 10.0,
        timeout: float = 2.0,
        judge_s: float = 12.0,
        frozen_s: float = 90.0,
        limits: ProcessLimits = LIMITS,
        **more: object,
    ) -> ProcessCamera:
        config = CameraConfig.model_validate(
            {"url": str(url), "timeout": timeout, "sample": {"fps": fps}} | more
        )
        spans = JudgedSpans(judge_s, frozen_s)
        worker = ProcessCamera(
            Beginning("yard", config, image_spec(), None, spans=spans),
            wake,
            supervisor.attend,
            snapshots=snapshots or SnapshotsConfig(),
            limits=limits,
        )
        request.addfinalizer(lambda: worker.stop(5.0))
        worker.start()
        return worker

    return start
