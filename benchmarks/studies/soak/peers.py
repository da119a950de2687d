"""Stands for what the daemon talks to: a broker that can be killed, and a subscriber of our own."""

import contextlib
import json
import signal
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.measuring.broker import find_mosquitto, free_port
from edge.config.models import MqttConfig
from edge.delivery.mqtt.dialer import connect
from edge.errors import PublishError


class Broker:
    """A mosquitto that can be killed and started again on one port, without a file."""

    def __init__(self, folder: Path) -> None:
        program = find_mosquitto()
        if program is None:
            raise PublishError(
                "expected mosquitto; install it with: sudo apt-get install mosquitto"
            )
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 100000\n"
        )
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, if it does not run."""
        if self._process is None:
            self._process = subprocess.Popen(  # noqa: S603  our own file
                [self._program, "-c", self._config],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it, if it runs."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None


class Subscriber:
    """Hears alerts over a connection of its own; it comes back when the broker does."""

    def __init__(self, port: int) -> None:
        self._config = MqttConfig(host="127.0.0.1", port=port)
        self._stack = contextlib.ExitStack()
        self._connection: Any = None
        self.ids: set[str] = set()
        self.state: dict[str, Any] = {}

    def listen(self) -> None:
        """Take what has arrived; connect again where the connection is gone."""
        try:
            if self._connection is None:
                self._connection = self._stack.enter_context(connect(self._config, "soak"))
                self._connection.subscribe(["soak/#"])
            self._connection.poll(0)
            for received in self._connection.received():
                if received.topic.endswith("/alert"):
                    self.ids.add(json.loads(received.payload)["id"])
                elif received.topic == "soak/box/state":
                    self.state = json.loads(received.payload)
        except PublishError:
            self.close()

    def close(self) -> None:
        """Leave the broker."""
        with contextlib.suppress(PublishError):
            self._stack.close()
        self._connection = None
