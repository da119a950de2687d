"""A box as its users have it: ``edge run`` as a process, a test camera, a broker, and what it hears."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from burst import BURST
from live_broker import Broker, Listen, Listener, Tell
from patience import Eventually

from edge.testing import TestCamera


@dataclass
class Daemon:
    """``edge run`` with a configuration of its own."""

    config: Path
    log_path: Path
    process: subprocess.Popen[bytes]

    def log(self) -> str:
        return self.log_path.read_text()

    def terminate(self, timeout: float = 5) -> int:
        """SIGTERM; the exit code. More than ``timeout`` seconds fail the test."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@dataclass
class Daemons:
    """Starts daemons in a folder; the keys given are laid over a configuration that works."""

    folder: Path
    started: list[Daemon] = field(default_factory=list)

    def __call__(self, environment: dict[str, str] | None = None, **sections: Any) -> Daemon:
        settings = {"device": {"id": "box"}, "state_dir": str(self.folder / "state")} | sections
        config = self.folder / f"edge{len(self.started)}.yaml"
        config.write_text(yaml.safe_dump(settings))
        log_path = config.with_suffix(".log")
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "edge", "run", str(config)],
                stdout=log,
                stderr=log,
                env=os.environ | (environment or {}),
            )
        self.started.append(Daemon(config, log_path, process))
        return self.started[-1]


def edge(*words: object) -> subprocess.CompletedProcess[str]:
    """Run a command of ``edge`` as a process."""
    line = [sys.executable, "-m", "edge", *map(str, words)]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)


def rewritten(daemon: Daemon, **sections: Any) -> None:
    """Change the daemon's file, and have ``edge reload`` ask for it to be read."""
    settings = yaml.safe_load(daemon.config.read_text()) | sections
    daemon.config.write_text(yaml.safe_dump(settings))
    done = edge("reload", daemon.config)
    assert done.returncode == 0, done.stderr


@dataclass
class Box:
    """A daemon, the camera that it watches, and a broker with a listener that is not ours.

    Every sample counts: its rule is a burst, its engine as small as can be.

    Attributes:
        bundle: Bundle of the daemon.
        camera: Camera with two streams, ``yard`` and ``gate``; it is on.
        broker: Broker of the daemon; ``connect`` starts it.
        run: Starts daemons, in the same folder.
        daemon: Daemon that was started last.
        listener: Hears all that is published, from ``connect`` on.
    """

    bundle: Path
    camera: TestCamera
    broker: Broker
    run: Daemons
    eventually: Eventually
    _listen: Listen
    _tell: Tell
    daemon: Daemon = field(init=False, repr=False)
    listener: Listener = field(init=False, repr=False)

    def connect(self, topic_filter: str = "#", **login: str) -> "Box":
        """Start the broker, and listen to it."""
        self.broker.start()
        self.listener = self._listen(self.broker.port, topic_filter, **login)
        return self

    def watched(self, url: str | None = None, **more: Any) -> dict[str, Any]:
        """Settings of a camera; by default that of the yard."""
        url = self.camera.url("yard") if url is None else url
        return {"url": url, "sample": {"fps": 10}, "timeout": "1s"} | more

    def mqtt(self, **more: Any) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": self.broker.port, "keepalive": 5} | more

    def settings(self, **sections: Any) -> dict[str, Any]:
        """Its configuration; ``sections`` replace those of the same name."""
        return {
            "bundle": str(self.bundle),
            "mqtt": self.mqtt(),
            "prompts": BURST,
            "cameras": {"yard": self.watched()},
        } | sections

    def start(self, environment: dict[str, str] | None = None, **sections: Any) -> Daemon:
        """Start a daemon with ``settings(**sections)``."""
        self.daemon = self.run(environment, **self.settings(**sections))
        return self.daemon

    @property
    def state_dir(self) -> Path:
        return self.run.folder / "state"

    def say(self, topic: str, payload: Any, **words: Any) -> None:
        """Publish something on a topic below the box's; what is no text is said in JSON."""
        data = payload if isinstance(payload, bytes | str) else json.dumps(payload)
        self._tell(self.broker.port, f"edge/box/{topic}", data, **words)

    def heard(self, topic: str) -> list[bytes]:
        """Payloads on a topic below the box's."""
        return [one.payload for one in self.listener.heard if one.topic == f"edge/box/{topic}"]

    def last(self, topic: str) -> bytes | None:
        heard = self.heard(topic)
        return heard[-1] if heard else None

    def states(self, topic: str = "state") -> list[dict[str, Any]]:
        """States of the device, or of what ``topic`` names; what was removed is none."""
        return [json.loads(payload) for payload in self.heard(topic) if payload]

    def state(self, topic: str = "state") -> dict[str, Any]:
        """The newest one; nothing before the first."""
        return (self.states(topic) or [{}])[-1]

    def errors(self) -> dict[str, str]:
        """What is wrong with the device now."""
        found: dict[str, str] = self.state().get("errors", {})
        return found

    def status(self) -> str | None:
        payload = self.last("status")
        return None if payload is None else payload.decode()

    def alerts(self, type_: str | None = None, camera: str | None = None) -> list[dict[str, Any]]:
        """Alerts heard: all, or those of a type and of a camera."""
        alerts = [json.loads(payload) for payload in self.listener.payloads("/alert")]
        return [
            alert
            for alert in alerts
            if type_ in {None, alert["type"]} and camera in {None, alert["camera"]}
        ]


MakeBox = Callable[..., Box]
"""Makes a box of the options of its broker; nothing of it runs but the camera."""
