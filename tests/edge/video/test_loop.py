"""The loop of a camera by itself, in a thread of the test."""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from known import known
from patience import Until

from edge.config.models import CameraConfig
from edge.model.bundle.manifest import ImageSpec
from edge.testing import TestCamera
from edge.video.camera import CameraLoop
from edge.video.decode import Frame
from edge.video.sample import Sample
from edge.video.space import Space, new_space

YEAR = 365 * 86_400.0


class Pocket:
    """Keeps the newest sample, and has room for the next one, unless the test says otherwise."""

    def __init__(self, spec: ImageSpec) -> None:
        self.spec = spec
        self.has_room = True
        self.newest: Sample | None = None
        self.after_breaks: list[bool] = []
        self.broken: str | None = None

    def space(self) -> Space | None:
        return new_space(self.spec, None) if self.has_room else None

    def offer(self, sample: Sample, frame: Frame) -> None:
        if self.broken is not None:
            raise ZeroDivisionError(self.broken)
        self.newest = sample
        self.after_breaks.append(sample.after_break)

    def changed(self) -> None:
        """Nobody is told."""


@pytest.fixture
def pocket(image_spec: Callable[..., ImageSpec]) -> Pocket:
    return Pocket(image_spec())


@pytest.fixture
def loop(camera: TestCamera, pocket: Pocket) -> Iterator[CameraLoop]:
    """A loop that runs."""
    settings = {"url": camera.url("yard"), "timeout": 5.0, "sample": {"fps": 10}}
    made = CameraLoop("yard", CameraConfig.model_validate(settings), pocket.spec, pocket)
    thread = threading.Thread(target=made.run)
    thread.start()
    yield made
    made.stop()
    thread.join(5)
    assert not thread.is_alive()


def test_an_error_that_nobody_expected_costs_the_camera_one_attempt(
    camera: TestCamera,
    pocket: Pocket,
    until: Until,
    caplog: pytest.LogCaptureFixture,
    request: pytest.FixtureRequest,
) -> None:
    pocket.broken = f"a defect at {camera.url('yard')}"
    loop: CameraLoop = request.getfixturevalue("loop")
    until("failed", lambda: loop.health().state == "failed")
    error = known(loop.health().error)
    assert error.startswith("ZeroDivisionError: a defect at rtsp://viewer:***@")
    until("the traceback", lambda: "Traceback" in caplog.text)
    pocket.broken = None
    until("streaming", lambda: loop.health().state == "streaming")
    assert loop.health().error is None


def test_a_sample_without_room_is_dropped_and_counted(
    loop: CameraLoop, pocket: Pocket, until: Until
) -> None:
    until("a sample", lambda: pocket.newest is not None)
    pocket.has_room = False
    until("two are dropped", lambda: loop.health().dropped >= 2)
    sequence = known(pocket.newest).sequence
    pocket.has_room = True
    until("the next one", lambda: known(pocket.newest).sequence >= sequence + 3)
    health = loop.health()
    assert (health.state, health.reconnects) == ("streaming", 0)


def test_the_first_sample_after_an_interruption_says_so(
    camera: TestCamera, loop: CameraLoop, pocket: Pocket, until: Until
) -> None:
    until("three samples", lambda: len(pocket.after_breaks) >= 3)
    camera.drop()
    until("the reconnect", lambda: loop.health().reconnects == 1)
    before = len(pocket.after_breaks)
    until("two more", lambda: len(pocket.after_breaks) >= before + 2)
    assert pocket.after_breaks.count(True) == 2
    assert pocket.after_breaks[0]


def test_what_the_loop_does_is_known(
    camera: TestCamera, loop: CameraLoop, pocket: Pocket, until: Until
) -> None:
    until("a sample", lambda: pocket.newest is not None)
    camera.faults.stall = True
    until("it reads", lambda: loop.doing[0] == "read" and time.monotonic() - loop.doing[1] > 0.2)
    camera.power_off()
    until("it waits", lambda: loop.doing[0] == "wait")


def test_a_jump_of_the_boxs_wall_clock_restarts_no_camera(
    loop: CameraLoop, pocket: Pocket, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    until("two samples", lambda: loop.health().samples >= 2)
    real = time.time

    def moved(by: float) -> float:
        return real() + by

    def made(samples: int) -> bool:
        return loop.health().samples >= samples

    for jump in (YEAR, 0.0, -YEAR, 0.0, 3600.0, -3600.0, -real(), 0.0):  # also to 1970
        monkeypatch.setattr(time, "time", partial(moved, jump))
        until("three more samples", partial(made, loop.health().samples + 3))
        health = loop.health()
        assert (health.state, health.error, health.reconnects) == ("streaming", None, 0)
        assert known(pocket.newest).arrival.wall == pytest.approx(moved(jump), abs=5)
