"""Measures the daemon on one live camera: time from a frame's arrival to the broker's PUBACK."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring.broker import Address
from benchmarks.measuring.held import Held, descendants, held
from benchmarks.measuring.statistics import quantiles
from benchmarks.pipeline.config import bench_config
from edge import app
from edge.config.models import EngineConfig
from edge.delivery.embedding import decode_embedding
from edge.delivery.message import Message
from edge.delivery.payloads import AlertPayload
from edge.errors import PublishError, SourceError
from edge.model.bundle.read import Bundle
from edge.system.ending import Stop
from edge.video.sources import is_live

PERCENTS = (50, 95, 99)

# Longest wait for the connection, the first keyframe and the first message.
_BEGIN_S = 30.0
# Time after the first message that does not count: the start of the alert has a picture, and
# caches are cold.
_WARMUP_S = 2.0
_STEP_S = 1.0
_CAMERA_STOP_S = 5.0


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """Settings of the live measurement.

    Attributes:
        source: Clip that our test camera plays over RTSP, or URL of a camera.
        fps: Samples per second.
        seconds: Measured time.
        prompts: Sentences; each one alerts on every frame.
        engine: Engine, device, precision and threads.
    """

    source: str
    fps: float
    seconds: int
    prompts: tuple[str, ...]
    engine: EngineConfig

    @property
    def steps(self) -> int:
        """Return how often ``measure`` reports progress."""
        return self.seconds


@dataclass(frozen=True, slots=True)
class Latency:
    """Times from a frame's arrival to the broker's PUBACK, for the messages of one kind.

    Attributes:
        kind: ``alert`` or ``embedding``.
        messages: Number of messages.
        ms: Quantiles of the times, milliseconds.
    """

    kind: str
    messages: int
    ms: dict[str, float]


@dataclass(frozen=True, slots=True)
class LiveResults:
    """Results of the daemon on one camera.

    Attributes:
        camera: Description of the camera.
        broker: Software of the broker.
        seconds: Measured time.
        fps: Published samples per second.
        cores: Cores that the daemon and its cameras' processes use on average, publishing included.
        rss_mb: Resident memory of all of them at the end, in 10^6 bytes; shared memory counts once.
        latencies: Times of alerts and of embeddings.
    """

    camera: str
    broker: str
    seconds: float
    fps: float
    cores: float
    rss_mb: float
    latencies: tuple[Latency, ...]


def measure(
    bundle: Bundle,
    settings: LiveSettings,
    broker: Address,
    state_dir: Path,
    progress: Callable[[], None],
) -> LiveResults:
    """Run the daemon for a while.

    Args:
        bundle: Bundle of the model.
        settings: Source, rates and duration.
        broker: Broker that the daemon publishes to.
        state_dir: Folder of the outbox.
        progress: Called after each measured second.

    Raises:
        EdgeError: The daemon cannot start, or publishes nothing.
    """
    with _camera(settings.source) as (url, camera):
        config = bench_config(
            bundle, url, settings.fps, settings.prompts, settings.engine, broker, state_dir
        )
        tally = _Tally(descendants(os.getpid()))
        stop, wake = Stop(), threading.Event()

        def supervise() -> None:
            tally.measure(settings.seconds, progress)
            stop.set()
            wake.set()

        supervisor = threading.Thread(target=supervise, name="bench", daemon=True)
        supervisor.start()
        app.run(config, stop, wake, tally.note)
        supervisor.join()
    return tally.results(camera, broker)


@contextmanager
def _camera(source: str) -> Iterator[tuple[str, str]]:
    """Yield URL and description of a camera: the named one, or the test camera in a process."""
    if is_live(source):
        yield source, "as named"
        return
    command = [sys.executable, "-m", "edge.testing", "--until-stdin-closes", f"clip={source}"]
    process = subprocess.Popen(  # noqa: S603 (our own module)
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None  # noqa: S101 (both are pipes)
        assert process.stderr is not None  # noqa: S101
        said = process.stdout.readline()
        if not said:
            raise SourceError(process.stderr.read().strip() or "the test camera does not start")
        yield json.loads(said)["url"], "test camera over RTSP on loopback, in its own process"
    finally:
        process.terminate()
        try:
            process.communicate(timeout=_CAMERA_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


class _Tally:
    """Tally of delivered messages, and of the time that the daemon used meanwhile.

    Args:
        besides: Ids of processes that are no part of it: the test camera's, the broker's.
    """

    def __init__(self, besides: Collection[int]) -> None:
        self._besides = besides
        self._began = threading.Event()
        self._delivered: list[tuple[Message, float]] = []
        self._from = self._to = 0.0  # wall seconds
        self._core_s = 0.0
        self._rss_mb = 0.0

    def note(self, message: Message, at: float) -> None:
        """Note a delivered message; the publisher's thread calls this, so it must be short."""
        self._delivered.append((message, time.time() - (time.monotonic() - at)))
        self._began.set()

    def measure(self, seconds: int, progress: Callable[[], None]) -> None:
        """Wait for the first message, then measure; return early if no message comes."""
        if not self._began.wait(_BEGIN_S):
            return
        time.sleep(_WARMUP_S)
        self._from, before = time.time(), self._held()
        for _ in range(seconds):
            time.sleep(_STEP_S)
            progress()
        self._to, after = time.time(), self._held()
        self._core_s, self._rss_mb = after.cpu_s - before.cpu_s, after.rss_mb

    def _held(self) -> Held:
        return held(os.getpid(), self._besides)

    def results(self, camera: str, broker: Address) -> LiveResults:
        """Sum up.

        Raises:
            PublishError: Nothing was delivered.
        """
        latencies: dict[str, list[float]] = {"alert": [], "embedding": []}
        for message, acknowledged in self._delivered:
            arrived = _arrival(message)
            if arrived is not None and self._from <= acknowledged <= self._to:
                latencies[message.kind].append((acknowledged - arrived) * 1000)
        if not all(latencies.values()):
            raise PublishError(
                f"no frame of the camera reached the broker within {_BEGIN_S:g} s, expected some: "
                "`edge check` says whether the camera and the broker are reachable"
            )
        seconds = self._to - self._from
        return LiveResults(
            camera=camera,
            broker=broker.software,
            seconds=seconds,
            fps=len(latencies["embedding"]) / seconds,
            cores=self._core_s / seconds,
            rss_mb=self._rss_mb,
            latencies=tuple(
                Latency(kind, len(ms), quantiles(ms, PERCENTS)) for kind, ms in latencies.items()
            ),
        )


def _arrival(message: Message) -> float | None:
    """Return the arrival of the message's frame in UTC seconds, if the message has it."""
    match message.kind:
        case "alert":
            return AlertPayload.model_validate_json(message.payload).at.timestamp()
        case "embedding":
            return decode_embedding(message.payload).at
    return None
