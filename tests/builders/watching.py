"""A daemon in a thread, with real cameras, outbox and publisher, and a pipeline of the test's own."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from daemon_parts import TOPICS, Proof, Quiet

from edge.alerts.pipeline import Pipeline
from edge.app import Daemon
from edge.config.models import Config, SnapshotsConfig
from edge.control.orders import Orders
from edge.delivery.outbox import Outbox
from edge.delivery.publisher import Publisher
from edge.model.bundle.manifest import ImageSpec
from edge.resources import Resources
from edge.system.ending import Stop
from edge.system.keeper import Keeper
from edge.video.process.beginning import Beginning
from edge.video.process.camera import ProcessCamera
from edge.video.process.supervisor import Supervisor

Camera = TypeVar("Camera", bound=ProcessCamera)
SPEC = ImageSpec.model_validate(
    {"height": 32, "width": 32, "resize": "shortest_edge", "interpolation": "bicubic",
     "mean": (127.0, 127.0, 127.0), "std": (128.0, 128.0, 128.0)}
)  # fmt: skip


@contextmanager
def watching(
    urls: Mapping[str, str],
    fps: float,
    pipeline_of: Callable[[dict[str, Camera]], Pipeline],
    *,
    port: int,
    folder: Path,
    camera: type[Camera],
    daemon: type[Daemon] = Daemon,
) -> Iterator[dict[str, Camera]]:
    """Run a daemon on these cameras; it must still run at the end, and end in order."""
    stop, wake = Stop(), threading.Event()
    config = Config.model_validate(
        {
            "device": {"id": "box"},
            "bundle": "unused",
            "mqtt": {"host": "127.0.0.1", "port": port},
            "prompts": {"cat": {"text": "a cat"}},
            "cameras": {name: {"url": url, "sample": {"fps": fps}} for name, url in urls.items()},
        }
    )
    supervisor = Supervisor()
    cameras = {
        name: camera(
            Beginning(name, settings, SPEC, None), wake.set, supervisor.attend,
            snapshots=SnapshotsConfig(),
        )
        for name, settings in config.cameras.items()
    }  # fmt: skip
    with closing(Outbox(folder / "outbox.db", 1 << 20)) as outbox:
        resources = Resources(
            TOPICS, dict(cameras), Proof(), pipeline_of(cameras), outbox,
            Publisher(config.mqtt, "box", outbox), Quiet(), Orders(wake.set),
            lambda name, _: cameras[name],
            keeper=Keeper([], period_s=1.0), supervisor=supervisor,
        )  # fmt: skip
        thread = threading.Thread(target=daemon(config, resources).serve, args=(stop, wake))
        thread.start()
        try:
            yield cameras
            assert thread.is_alive()
        finally:
            stop.set()
            wake.set()
            thread.join(10)
            assert not thread.is_alive()
