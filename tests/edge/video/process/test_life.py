"""What a process costs the daemon in descriptors, and the order of its samples."""

import gc
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from edge.config.models import CameraConfig
from edge.model.bundle.manifest import ImageSpec
from edge.video.process.beginning import Beginning
from edge.video.process.life import Life
from edge.video.process.limits import LIMITS
from edge.video.process.memory import Layout
from edge.video.process.records import GivenBack, Question, Sampled


@pytest.fixture
def make(image_spec: Callable[..., ImageSpec]) -> Callable[..., Life]:
    def life(name: str = "yard") -> Life:
        spec = image_spec()
        config = CameraConfig.model_validate({"url": "rtsp://127.0.0.1/none"})
        return Life(1, Beginning(name, config, spec, None), Layout(spec, None), LIMITS)

    return life


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_process_that_was_never_asked_for_leaves_no_descriptor(make: Callable[..., Life]) -> None:
    before = descriptors()
    make().close()
    assert descriptors() == before


def test_a_process_that_cannot_begin_leaves_no_descriptor(make: Callable[..., Life]) -> None:
    gc.collect()  # what other tests have left
    before = descriptors()
    with suppress(OSError):
        make("x" * 1_000_000)  # more than a record may have
    assert descriptors() == before


def test_arrivals_are_in_order_and_never_ahead(make: Callable[..., Life]) -> None:
    life, began = make(), time.monotonic()

    def arrival(monotonic: float) -> float:
        return life.arrival_of(
            Sampled(slot=0, sequence=0, monotonic=monotonic, pts_s=None, height=4, width=4)
        )

    first = arrival(began)
    assert first == began
    assert arrival(began - 0.5) == first  # of a picture that the stream reorders
    assert first < arrival(began + 0.9) <= time.monotonic()
    life.close()


def test_a_question_without_room_leaves_room_for_the_next_one(make: Callable[..., Life]) -> None:
    life = make()
    while life.order(GivenBack(slot=0)):
        pass
    question = Question(number=1, sequence=0, jpeg_width=64)
    assert not life.ask(question)
    taken = life._child_end
    while not life.ask(question):
        taken.recv(100_000)
    assert not life.ask(question)  # one answer at a time
    life.close()
