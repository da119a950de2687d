"""More pictures than the engine can take: the newest count, no camera starves, nothing grows."""

import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import pytest
from daemon_parts import Line
from live_broker import Broker
from patience import Eventually
from watching import watching

from edge.app import Daemon
from edge.delivery.message import Message
from edge.testing import Clip, TestCamera
from edge.testing.synthetic import write_clip
from edge.video.process.camera import ProcessCamera
from edge.video.sample import Sample

NAMES = ("yard", "door", "gate", "hall")
FPS = 25.0
LOADS = [float(load) for load in os.environ.get("EDGE_LOADS", "1,4").split(",")]
TAKEN = int(os.environ.get("EDGE_TAKEN", "48"))


class NotingCamera(ProcessCamera):
    """A camera that notes how many samples newer than the taken one it had already made."""

    late: ClassVar = defaultdict[str, list[int]](list)

    def take(self) -> Sample | None:
        made, sample = self.health().samples, self.next_sample()
        if sample is not None:
            self.late[self.name].append(made - 1 - sample.sequence)
        return sample

    def next_sample(self) -> Sample | None:
        return super().take()


class Hoarder(NotingCamera):
    """The control: a camera whose samples wait in line."""

    lines: ClassVar = defaultdict[str, list[Sample]](list)

    def next_sample(self) -> Sample | None:
        line, sample = self.lines[self.name], super().next_sample()
        if sample is not None:
            line += [sample, sample]
        return line.pop(0) if line else None


@dataclass
class SlowEngine(Line):
    """A pipeline of which each sample costs the time of an overloaded engine.

    ``ages_s`` are the seconds from the arrival of a sample to the end of its inference.
    """

    seconds: float
    cameras: dict[str, NotingCamera]
    taken: list[Sample] = field(default_factory=list)
    ages_s: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def process(self, sample: Sample) -> list[Message]:
        time.sleep(self.seconds)
        self.ages_s.append(time.monotonic() - sample.arrival.monotonic)
        self.taken.append(sample)
        return []

    @property
    def limit_s(self) -> float:
        """Two frame intervals and the inference: how old a sample may be at its end."""
        return 2 / FPS + self.seconds


class Greedy(Daemon):
    """The control: a loop that serves the first camera with a sample, and begins again."""

    def _process(self, enough: Callable[[], bool]) -> None:
        for camera in self._cameras.values():
            sample = None if enough() else camera.take()
            if sample is not None:
                self._pipeline.process(sample)
                return


def fairness(values: Iterable[int]) -> float:
    """Jain's index of the shares of all cameras: 1 where they are equal, 1/N where one has all."""
    counts = list(values)
    return sum(counts) ** 2 / (len(counts) * sum(count**2 for count in counts))


class Serve(Protocol):
    def __call__(
        self,
        load: float = 4.0,
        *,
        daemon: type[Daemon] = Daemon,
        camera: type[NotingCamera] = NotingCamera,
    ) -> SlowEngine: ...


@pytest.fixture
def serve(tmp_path: Path, broker: Broker) -> Iterator[Serve]:
    """Run a daemon whose four cameras give so many times what its engine takes."""
    clip = Clip.read(write_clip(tmp_path / "clip.mp4", fps=int(FPS), seconds=4, gop=25))
    with ExitStack() as stack:
        live = stack.enter_context(TestCamera(dict.fromkeys(NAMES, clip)))

        def start(
            load: float = 4.0,
            *,
            daemon: type[Daemon] = Daemon,
            camera: type[NotingCamera] = NotingCamera,
        ) -> SlowEngine:
            engines: list[SlowEngine] = []

            def engine_of(cameras: dict[str, NotingCamera]) -> SlowEngine:
                engines.append(SlowEngine(load / (len(NAMES) * FPS), cameras))
                return engines[0]

            urls = {name: live.url(name) for name in NAMES}
            daemons = watching(
                urls,
                FPS,
                engine_of,
                port=broker.port,
                folder=tmp_path,
                camera=camera,
                daemon=daemon,
            )
            stack.enter_context(daemons)
            return engines[0]

        yield start


def watched(engine: SlowEngine, eventually: Eventually) -> slice:
    """Let the engine take samples once all cameras have come; which ones these are."""
    cameras = engine.cameras.values()
    eventually(lambda: all(camera.health().samples for camera in cameras), "all cameras")
    before = len(engine.taken)
    for camera in cameras:
        camera.late[camera.name].clear()
    eventually(lambda: len(engine.taken) >= before + TAKEN, "what the engine takes", 60)
    return slice(before, before + TAKEN)


def latest(engine: SlowEngine) -> int:
    """Return by how many samples the most outdated of those that were taken was late."""
    return max(max(camera.late[name]) for name, camera in engine.cameras.items())


def old(engine: SlowEngine, which: slice, percent: int) -> float:
    """Return how old samples were at the end of their inference, as a share of the limit."""
    return float(np.percentile(engine.ages_s[which], percent)) / engine.limit_s


@pytest.mark.parametrize("load", LOADS)
def test_an_overloaded_engine_gets_the_newest_sample_of_each_camera_in_turn(
    serve: Serve,
    eventually: Eventually,
    record_property: Callable[[str, object], None],
    load: float,
) -> None:
    engine = serve(load)
    which = watched(engine, eventually)
    taken = engine.taken[which]
    share = fairness(Counter(one.camera for one in taken).values())
    record_property("fairness", round(share, 4))
    record_property("age_of_limit", round(old(engine, which, 99), 2))
    assert share >= 0.95
    assert latest(engine) <= 0
    assert old(engine, which, 50) <= 1  # the 99th percentile is judged where nothing else runs
    for name, camera in engine.cameras.items():
        of_camera = [one.sequence for one in taken if one.camera == name]
        assert of_camera == sorted(set(of_camera))
        health = camera.health()
        waiting = health.samples - health.dropped - sum(one.camera == name for one in engine.taken)
        assert waiting <= 2  # in its one place, and on its way to the engine
    dropped = sum(camera.health().dropped for camera in engine.cameras.values())
    assert dropped > len(taken) / 2 or load < 2


def test_a_loop_that_begins_with_the_first_camera_each_time_would_be_seen(
    serve: Serve, eventually: Eventually
) -> None:
    engine = serve(daemon=Greedy)
    counts = Counter(one.camera for one in engine.taken[watched(engine, eventually)])
    assert fairness(counts[name] for name in NAMES) < 0.95


def test_samples_that_wait_in_line_would_be_seen(serve: Serve, eventually: Eventually) -> None:
    engine = serve(camera=Hoarder)
    which = watched(engine, eventually)
    assert latest(engine) > 0
    assert old(engine, which, 99) > 1
