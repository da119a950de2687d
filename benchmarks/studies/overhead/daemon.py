"""Runs a daemon on cameras that are made up, and prints what each sample cost it, as JSON.

Run by its path with another version's folder in ``PYTHONPATH``, it measures that version. So it
uses only what has been there for long.
"""

import heapq
import json
import logging
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring.broker import find_mosquitto, mosquitto
from edge.app import Daemon
from edge.config.models import Config
from edge.errors import PublishError
from edge.model.bundle.read import open_bundle
from edge.resources import Resources, open_resources
from edge.system import paths
from edge.system.ending import Stop
from edge.video.preprocess import Preprocessor
from edge.video.sample import Arrival, Sample
from edge.video.sources import SourceSettings, open_source
from edge.video.worker import CameraHealth, CameraWorker

# Seconds until the broker is connected and what is made once is made.
_WARM_S: Final = 4.0
_PICTURES: Final = 24


class MadeUp:
    """A camera that gives what the feeder puts into it."""

    failed = False

    def __init__(self, name: str, fps: float) -> None:
        self.name = name
        self.count = 0
        self.slot: Sample | None = None
        self._fps = fps

    def start(self) -> None:
        pass

    def take(self) -> Sample | None:
        sample, self.slot = self.slot, None
        return sample

    def health(self) -> CameraHealth:
        return CameraHealth("streaming", 15.0, self._fps, self.count, 0, 0, 0, time.time(), None)

    def give(self, pixels: NDArray[np.int8]) -> None:
        self.slot = Sample(self.name, self.count, Arrival.now(), pixels)
        self.count += 1

    def nothing(self, *_: Any) -> None:
        pass

    snapshot = pixels = frame = nothing

    def stop(self, _timeout_s: float) -> bool:
        return True


class TimedEngine:
    """Takes the time of the engine's calls, which is not part of the overhead."""

    def __init__(self, resources: Resources) -> None:
        self.core_s = 0.0
        self.calls = 0
        engine = resources.models.main.engine
        self._run = engine.run
        cast("Any", engine).run = self.run

    def run(self, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        began = time.thread_time()
        try:
            return self._run(tensors)
        finally:
            self.core_s += time.thread_time() - began
            self.calls += 1


@dataclass(frozen=True, slots=True)
class Used:
    """Core seconds that process, feeder and engine have used so far, and samples."""

    process_s: float
    feeder_s: float
    engine_s: float
    samples: int

    @classmethod
    def now(cls, engine: TimedEngine) -> "Used":
        return cls(time.process_time(), time.thread_time(), engine.core_s, engine.calls)


def pictures(clip: str, bundle: Path) -> list[NDArray[np.int8]]:
    """Return pictures of a clip, as a camera makes them for the engine."""
    preprocess = Preprocessor(open_bundle(bundle).manifest.image)
    made: list[NDArray[np.int8]] = []
    with open_source(clip, SourceSettings()) as source:
        for packet in source.packets():
            made += [preprocess(frame).copy() for frame in source.stream.decode(packet.data)]
            if len(made) >= _PICTURES:
                break
    return made


def configuration(cameras: int, fps: float, folder: str, port: int) -> Config:
    """Return a configuration of two rules that never alert; every embedding is published."""
    quiet = {"start": "quiet"}
    return Config.model_validate(
        {
            "device": {"id": "box"},
            "bundle": paths.default_bundle(),
            "state_dir": folder,
            "engine": {"kind": "null"},
            "mqtt": {"host": "127.0.0.1", "port": port},
            "embeddings": {"publish": "all", "every": 0},
            "prompts": {"person": {"text": "a person"} | quiet, "van": {"text": "a van"} | quiet},
            "cameras": {
                f"camera{number}": {"url": "file:unused.mp4", "sample": {"fps": fps}}
                for number in range(cameras)
            },
        }
    )


def measure(
    clip: str, cameras: int, fps: float, seconds: float, warm_s: float = _WARM_S
) -> dict[str, float]:
    """Return core milliseconds for each processed sample: all but the engine's, and the engine's.

    Raises:
        PublishError: There is no broker to publish to.
    """
    program = find_mosquitto()
    if program is None:
        raise PublishError("expected mosquitto, found none: apt install mosquitto")
    made = pictures(clip, paths.default_bundle())
    stop, wake = Stop(), threading.Event()
    found: list[Used] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        mosquitto(program) as broker,
        ExitStack() as stack,
    ):
        config = configuration(cameras, fps, folder, broker.port)
        resources = open_resources(config, stack, stop, wake.set)
        engine = TimedEngine(resources)
        own = {name: MadeUp(name, fps) for name in config.cameras}
        resources.cameras.clear()
        resources.cameras.update(cast("dict[str, CameraWorker]", own))

        def feed() -> None:
            # The cameras take turns, as the daemon spreads them.
            due = [(number / cameras / fps, name) for number, name in enumerate(own)]
            began = time.monotonic()
            while time.monotonic() < began + warm_s + seconds:
                at, name = due[0]
                heapq.heapreplace(due, (at + 1 / fps, name))
                time.sleep(max(0.0, began + at - time.monotonic()))
                if not found and at >= warm_s:
                    found.append(Used.now(engine))
                own[name].give(made[own[name].count % len(made)])
                wake.set()
            found.append(Used.now(engine))
            stop.set()
            wake.set()

        feeder = threading.Thread(target=feed, name="feeder")
        feeder.start()
        Daemon(config, resources).serve(stop, wake)
        feeder.join()
    first, last = found
    samples = last.samples - first.samples
    engine_s = last.engine_s - first.engine_s
    others_s = last.process_s - first.process_s - (last.feeder_s - first.feeder_s) - engine_s
    return {
        "samples": samples,
        "overhead_ms": 1000 * others_s / samples,
        "engine_ms": 1000 * engine_s / samples,
    }


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    clip, cameras, fps, seconds = sys.argv[1:]
    print(json.dumps(measure(clip, int(cameras), float(fps), float(seconds))))  # noqa: T201
