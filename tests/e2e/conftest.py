"""The daemon as a process, as users run it; everything it says is heard over MQTT."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from burst import BURST
from tiny_bundle import tiny_bundle

from edge.testing.synthetic import write_clip


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


@pytest.fixture
def run_daemon(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Start daemons; the keys given are laid over a configuration that works."""
    daemons: list[Daemon] = []

    def start(environment: dict[str, str] | None = None, **sections: Any) -> Daemon:
        settings = {"device": {"id": "box"}, "state_dir": str(tmp_path / "state")} | sections
        config = tmp_path / f"edge{len(daemons)}.yaml"
        config.write_text(yaml.safe_dump(settings))
        log_path = config.with_suffix(".log")
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "edge", "run", str(config)],
                stdout=log,
                stderr=log,
                env=os.environ | (environment or {}),
            )
        daemons.append(Daemon(config, log_path, process))
        return daemons[-1]

    yield start
    for daemon in daemons:
        daemon.kill()


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real bundle of a few kilobytes: it opens in no time and means nothing."""
    path = tmp_path_factory.mktemp("bundles") / "tiny"
    tiny_bundle(path)
    return path


@pytest.fixture(scope="session")
def alerts_of() -> Callable[..., list[dict[str, Any]]]:
    """The alert payloads among what a listener heard."""

    def read(listener: Any, type_: str | None = None) -> list[dict[str, Any]]:
        alerts = [json.loads(payload) for payload in listener.payloads("/alert")]
        return [alert for alert in alerts if type_ in (None, alert["type"])]

    return read


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "moving.mp4"
    return write_clip(path, width=320, height=240, fps=10, seconds=3, gop=10)


@pytest.fixture
def sections(small_bundle: Path) -> Callable[..., Any]:
    """A configuration in which every sample counts; the engine is as small as can be."""

    def make(port: int, url: str, **more: dict[str, dict[str, Any]]) -> dict[str, Any]:
        return {
            "bundle": str(small_bundle),
            "mqtt": {"host": "127.0.0.1", "port": port, "keepalive": 5},
            "prompts": BURST,
            "cameras": {"yard": {"url": url, "sample": {"fps": 10}, "timeout": "1s"}},
        } | more

    return make
