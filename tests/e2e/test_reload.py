"""The configuration is read again: prompts and cameras change, and nobody else notices."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from burst import BURST

from edge.testing import TestCamera


def rewritten(daemon: Any, **sections: Any) -> None:
    """Change the daemon's file, and have ``edge reload`` ask for it to be read."""
    settings = yaml.safe_load(daemon.config.read_text()) | sections
    daemon.config.write_text(yaml.safe_dump(settings))
    done = subprocess.run(
        [sys.executable, "-m", "edge", "reload", daemon.config],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def errors(listener: Any) -> dict[str, str]:
    states = [
        payload
        for heard in listener.heard
        if heard.topic == "edge/box/state"
        for payload in [heard.payload]
    ]
    found: dict[str, str] = json.loads(states[-1])["errors"] if states else {}
    return found


def test_cameras_come_and_go_while_another_keeps_its_alert(
    sections: Callable[..., Any],
    clip: Path,
    run_daemon: Callable[..., Any],
    broker: Any,
    listen: Callable[..., Any],
    eventually: Callable[..., Any],
    alerts_of: Callable[..., list[dict[str, Any]]],
) -> None:
    listener = listen(broker.port)

    def of(camera: str, type_: str | None = None) -> list[dict[str, Any]]:
        return [alert for alert in alerts_of(listener, type_) if alert["camera"] == camera]

    with TestCamera({"yard": clip, "gate": clip}) as camera:
        given = sections(broker.port, camera.url("yard"))
        yard = given["cameras"]["yard"]
        gate = yard | {"url": camera.url("gate")}
        daemon = run_daemon(**given)
        eventually(lambda: of("yard", "update"), "alerts of the yard")

        rewritten(daemon, cameras={"yard": yard, "gate": gate})
        eventually(lambda: of("gate", "update"), "alerts of the new camera")
        assert daemon.log().count("camera yard: streaming") == 1
        assert len({alert["id"] for alert in of("yard")}) == 1
        assert of("yard", "end") == []

        rewritten(daemon, cameras={"yard": yard})
        eventually(lambda: of("gate", "end"), "the end of its alert")
        eventually(lambda: "camera gate: stopped" in daemon.log(), "the end of the camera")
        gone = [heard for heard in listener.heard if heard.topic == "edge/box/gate/state"]
        eventually(lambda: gone[-1].payload == b"" or _last(listener).payload == b"", "no state")

        calm = {"calm": BURST["burst"] | {"text": "something else"}}
        rewritten(daemon, prompts=calm)
        eventually(lambda: of("yard", "end"), "the end of the rule that is gone")
        eventually(lambda: "yard/calm" in daemon.log(), "the new rule")
        assert daemon.log().count("camera yard: streaming") == 1
        assert daemon.terminate() == 0


def _last(listener: Any) -> Any:
    return [heard for heard in listener.heard if heard.topic == "edge/box/gate/state"][-1]


def test_a_file_with_a_mistake_changes_nothing_and_what_waits_for_a_restart_is_named(
    sections: Callable[..., Any],
    clip: Path,
    run_daemon: Callable[..., Any],
    broker: Any,
    listen: Callable[..., Any],
    eventually: Callable[..., Any],
    alerts_of: Callable[..., list[dict[str, Any]]],
) -> None:
    listener = listen(broker.port)
    with TestCamera({"yard": clip}) as camera:
        given = sections(broker.port, camera.url("yard"))
        daemon = run_daemon(**given)
        eventually(lambda: alerts_of(listener, "update"), "alerts")

        right = daemon.config.read_text()
        daemon.config.write_text(right + "camera: {}\n")
        refused = subprocess.run(
            [sys.executable, "-m", "edge", "reload", daemon.config],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert refused.returncode == 2
        assert "unknown key 'camera'" in refused.stderr
        daemon.process.send_signal(signal.SIGHUP)  # as ``systemctl reload`` does
        eventually(
            lambda: "unknown key 'camera'" in errors(listener).get("config", ""), "the mistake"
        )
        assert "unknown key 'camera'" in daemon.log()

        daemon.config.write_text(right)
        # A rule that this box cannot do, found only when it is made: the new camera does not come.
        yard = given["cameras"]["yard"] | {"zones": {"door": [[0, 0], [1, 0], [1, 1]]}}
        rule = BURST["burst"] | {"zones": ["door"]}
        rewritten(daemon, cameras={"yard": yard, "gate": yard}, prompts={"burst": rule})
        eventually(lambda: "expected a detector" in errors(listener).get("config", ""), "the rule")
        assert "watching yard, gate" not in daemon.log()

        daemon.config.write_text(right)
        rewritten(daemon, mqtt=given["mqtt"] | {"keepalive": 60}, outbox={"max_bytes": 65536})
        wanted = "after a restart: mqtt.keepalive, outbox.max_bytes"
        eventually(lambda: wanted in errors(listener).get("config", ""), "what waits for a restart")

        daemon.config.write_text(right)
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: "config" not in errors(listener), "no error any more")
        assert {alert["id"] for alert in alerts_of(listener)} == {alerts_of(listener)[0]["id"]}
        assert daemon.log().count("camera yard: streaming") == 1
        assert daemon.terminate() == 0


@pytest.mark.parametrize("there", [True, False])
def test_without_a_daemon_there_is_nobody_to_ask(tmp_path: Path, *, there: bool) -> None:
    file = tmp_path / "edge.yaml"
    file.write_text(
        f"device: {{id: a}}\nbundle: b\nstate_dir: {tmp_path}\nmqtt: {{host: c}}\n"
        "prompts: {d: {text: a dog}}\ncameras: {e: {url: f.mp4}}\n"
    )
    if there:
        (tmp_path / "outbox.db").touch()
    done = subprocess.run(
        [sys.executable, "-m", "edge", "reload", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "expected a running daemon" in done.stderr
