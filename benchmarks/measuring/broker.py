"""Provides a broker to publish to: a named one, or a temporary mosquitto."""

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge.errors import ConfigError, PublishError

_START_S = 10.0
_STOP_S = 5.0


@dataclass(frozen=True, slots=True)
class Address:
    """Address of a broker.

    Attributes:
        host: Name or IP address.
        port: TCP port.
        software: Name of the software, as far as it is known; for the report.
    """

    host: str
    port: int
    software: str


def parse_address(text: str) -> Address:
    """Read ``host:port``.

    Raises:
        ConfigError: The text has another form.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f"--mqtt: expected host:port, such as localhost:1883, found {text!r}")
    return Address(host.strip("[]"), int(port), "given")


def find_mosquitto() -> str | None:
    """Return the path of mosquitto; Debian puts it in a folder that only root's PATH has."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


@contextlib.contextmanager
def mosquitto(program: str) -> Iterator[Address]:
    """Run ``program`` on a free loopback port; it leaves no files.

    Raises:
        PublishError: The broker does not start.
    """
    with tempfile.TemporaryDirectory(prefix="edge-bench-") as directory:
        port = free_port()
        config = Path(directory) / "mosquitto.conf"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
        log = Path(directory) / "mosquitto.log"
        with log.open("wb") as output:
            process = subprocess.Popen([program, "-c", config], stdout=output, stderr=output)  # noqa: S603 (no input)
        try:
            _await_listener(process, port, log)
            yield Address("127.0.0.1", port, "mosquitto on loopback")
        finally:
            _end(process)


def free_port() -> int:
    """Return a loopback port that is free at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await_listener(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        if process.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(errors="replace").strip() or "it said nothing"
            raise PublishError(
                f"mosquitto did not start: {said}; start a broker yourself and name it with --mqtt"
            )
        time.sleep(0.02)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
