"""A Mosquitto broker as a process, and what a client that is not ours hears from it."""

import contextlib
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from paho.mqtt.properties import Properties

from benchmarks.measuring.broker import find_mosquitto
from edge.config.models import MqttConfig

MOSQUITTO = find_mosquitto()


def properties_of(packet: int) -> Properties:
    """Properties of MQTT 5 for a kind of packet, all unset."""
    return Properties(packet)  # type: ignore[no-untyped-call]  # paho has no types here


@dataclass
class Broker:
    """Mosquitto. ``options`` are lines of its configuration; without a listener: plain TCP."""

    directory: Path
    options: list[str]
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Broker":
        assert MOSQUITTO is not None
        lines = [f"listener {self.port} 127.0.0.1", "user root", *self.options]
        if not any(line.startswith("allow_anonymous") for line in lines):
            lines.append("allow_anonymous true")
        config = self.directory / "mosquitto.conf"
        config.write_text("\n".join(lines) + "\n")
        with (self.directory / "mosquitto.log").open("ab") as log:
            self.process = subprocess.Popen([MOSQUITTO, "-c", config, "-v"], stdout=log, stderr=log)
        self._await_listener(self.process)
        return self

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the broker, which runs."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL: nothing is written to disk, nobody is told."""
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def log(self) -> str:
        return (self.directory / "mosquitto.log").read_text()

    def config(self, **settings: object) -> MqttConfig:
        return MqttConfig.model_validate({"host": "127.0.0.1", "port": self.port} | settings)

    def _await_listener(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            assert process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.01)


class MakeBroker(Protocol):
    """Makes a broker of its options; it is not started."""

    def __call__(self, *options: str) -> Broker: ...


@dataclass
class Heard:
    """A message that arrived; ``properties`` are those of MQTT 5, attributes by name."""

    topic: str
    payload: bytes
    retain: bool
    properties: Any


@dataclass
class Listener:
    """An independent MQTT 5 subscriber with a session that outlives its connections."""

    heard: list[Heard] = field(default_factory=list)
    subscribed: threading.Event = field(default_factory=threading.Event)

    def payloads(self, ending: str) -> list[bytes]:
        return [message.payload for message in self.heard if message.topic.endswith(ending)]


class Listen(Protocol):
    """Starts a listener on a port; ``login`` is ``username`` and ``password``, or nothing."""

    def __call__(self, port: int, topic_filter: str = "edge/#", **login: str) -> Listener: ...


class Tell(Protocol):
    """Publishes one message; ``words`` are properties of MQTT 5."""

    def __call__(
        self, port: int, topic: str, payload: bytes | str, *, retain: bool = False, **words: object
    ) -> None: ...
