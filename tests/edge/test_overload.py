"""More pictures than the engine can take: the newest count, no camera starves, nothing grows."""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

import pytest
from daemon_parts import TOPICS, Line, Proof, Quiet
from live_broker import Broker
from patience import Eventually

from edge.app import Daemon
from edge.config.models import CameraConfig, Config, SnapshotsConfig
from edge.control.orders import Orders
from edge.delivery.message import Message
from edge.delivery.outbox import Outbox
from edge.delivery.publisher import Publisher
from edge.model.bundle.manifest import ImageSpec
from edge.resources import Resources
from edge.system.ending import Stop
from edge.system.keeper import Keeper
from edge.testing import Clip, TestCamera
from edge.testing.synthetic import write_clip
from edge.video.camera import ThreadCamera
from edge.video.sample import Sample

NAMES = ("yard", "door", "gate", "hall")
FPS = 25.0
SPEC = ImageSpec.model_validate(
    {"height": 32, "width": 32, "resize": "shortest_edge", "interpolation": "bicubic",
     "mean": (127.0, 127.0, 127.0), "std": (128.0, 128.0, 128.0)}
)  # fmt: skip


class NotingCamera(ThreadCamera):
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
    """A pipeline of which each sample costs the time of an overloaded engine."""

    seconds: float
    cameras: dict[str, NotingCamera]
    taken: list[Sample] = field(default_factory=list)

    def process(self, sample: Sample) -> list[Message]:
        self.taken.append(sample)
        time.sleep(self.seconds)
        return []


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
        self, daemon: type[Daemon] = Daemon, camera: type[NotingCamera] = NotingCamera
    ) -> SlowEngine: ...


@pytest.fixture
def serve(tmp_path: Path, broker: Broker) -> Iterator[Serve]:
    """Run a daemon whose four cameras give four times what its engine takes."""
    clip = Clip.read(write_clip(tmp_path / "clip.mp4", fps=int(FPS), seconds=4, gop=25))
    stop, wake = Stop(), threading.Event()
    with ExitStack() as stack:
        live = stack.enter_context(TestCamera(dict.fromkeys(NAMES, clip)))
        outbox = stack.enter_context(closing(Outbox(tmp_path / "outbox.db", 1 << 20)))

        def start(
            daemon: type[Daemon] = Daemon, camera: type[NotingCamera] = NotingCamera
        ) -> SlowEngine:
            urls = {name: {"url": live.url(name), "sample": {"fps": FPS}} for name in NAMES}
            config = Config.model_validate(
                {
                    "device": {"id": "box"},
                    "bundle": "unused",
                    "mqtt": {"host": "127.0.0.1", "port": broker.port},
                    "prompts": {"cat": {"text": "a cat"}},
                    "cameras": urls,
                }
            )
            cameras = {
                name: camera(
                    name, CameraConfig.model_validate(of), SPEC, SnapshotsConfig(), wake.set
                )
                for name, of in urls.items()
            }
            engine = SlowEngine(4 / (len(NAMES) * FPS), cameras)
            resources = Resources(
                TOPICS, dict(cameras), Proof(), engine, outbox,
                Publisher(config.mqtt, "box", outbox), Quiet(), Orders(wake.set),
                keeper=Keeper([], period_s=1.0),
            )  # fmt: skip
            thread = threading.Thread(target=daemon(config, resources).serve, args=(stop, wake))

            def end() -> None:
                stop.set()
                wake.set()
                thread.join(10)
                assert not thread.is_alive()

            stack.callback(end)
            thread.start()
            return engine

        yield start


def watched(engine: SlowEngine, eventually: Eventually) -> list[Sample]:
    """Return what the engine took in a dozen turns after all cameras had come."""
    cameras = engine.cameras.values()
    eventually(lambda: all(camera.health().samples for camera in cameras), "all cameras")
    before = len(engine.taken)
    for camera in cameras:
        camera.late[camera.name].clear()
    eventually(lambda: len(engine.taken) >= before + 48, "a dozen turns", 30)
    return engine.taken[before : before + 48]


def latest(engine: SlowEngine) -> int:
    """Return by how many samples the most outdated of those that were taken was late."""
    return max(max(camera.late[name]) for name, camera in engine.cameras.items())


def test_an_overloaded_engine_gets_the_newest_sample_of_each_camera_in_turn(
    serve: Serve, eventually: Eventually, record_property: Callable[[str, object], None]
) -> None:
    engine = serve()
    taken = watched(engine, eventually)
    share = fairness(Counter(one.camera for one in taken).values())
    record_property("fairness", round(share, 4))
    assert share >= 0.95
    assert latest(engine) <= 0
    for name, camera in engine.cameras.items():
        of_camera = [one.sequence for one in taken if one.camera == name]
        assert of_camera == sorted(set(of_camera))
        health = camera.health()
        waiting = health.samples - health.dropped - sum(one.camera == name for one in engine.taken)
        assert waiting <= 2  # in its one place, and on its way to the engine
    assert sum(camera.health().dropped for camera in engine.cameras.values()) > len(taken) / 2


def test_a_loop_that_begins_with_the_first_camera_each_time_would_be_seen(
    serve: Serve, eventually: Eventually
) -> None:
    taken = watched(serve(Greedy), eventually)
    counts = Counter(one.camera for one in taken)
    assert fairness(counts[name] for name in NAMES) < 0.95


def test_samples_that_wait_in_line_would_be_seen(serve: Serve, eventually: Eventually) -> None:
    engine = serve(camera=Hoarder)
    watched(engine, eventually)
    assert latest(engine) > 0
