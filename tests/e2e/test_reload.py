"""The configuration is read again: prompts and cameras change, and nobody else notices."""

import signal
from pathlib import Path

import pytest
from burst import BURST
from running_box import Box, edge, rewritten


def test_cameras_come_and_go_while_another_keeps_its_alert(box: Box) -> None:
    yard, gate = box.watched(), box.watched(box.camera.url("gate"))
    daemon = box.start()
    box.eventually(lambda: box.alerts("update", "yard"), "alerts of the yard")

    rewritten(daemon, cameras={"yard": yard, "gate": gate})
    box.eventually(lambda: box.alerts("update", "gate"), "alerts of the new camera")
    assert daemon.log().count("camera yard: streaming") == 1
    assert len({alert["id"] for alert in box.alerts(camera="yard")}) == 1
    assert box.alerts("end", "yard") == []

    rewritten(daemon, cameras={"yard": yard})
    box.eventually(lambda: box.alerts("end", "gate"), "the end of its alert")
    box.eventually(lambda: "camera gate: stopped" in daemon.log(), "the end of the camera")
    box.eventually(lambda: box.last("gate/state") == b"", "no state")

    calm = {"calm": BURST["burst"] | {"text": "something else"}}
    rewritten(daemon, prompts=calm)
    box.eventually(lambda: box.alerts("end", "yard"), "the end of the rule that is gone")
    box.eventually(lambda: "yard/calm" in daemon.log(), "the new rule")
    assert daemon.log().count("camera yard: streaming") == 1
    assert daemon.terminate() == 0


def test_a_file_with_a_mistake_changes_nothing_and_what_waits_for_a_restart_is_named(
    box: Box,
) -> None:
    daemon = box.start()
    box.eventually(lambda: box.alerts("update"), "alerts")

    right = daemon.config.read_text()
    daemon.config.write_text(right + "camera: {}\n")
    refused = edge("reload", daemon.config)
    assert refused.returncode == 2
    assert "unknown key 'camera'" in refused.stderr
    daemon.process.send_signal(signal.SIGHUP)  # as ``systemctl reload`` does
    box.eventually(lambda: "unknown key 'camera'" in box.errors().get("config", ""), "the mistake")
    assert "unknown key 'camera'" in daemon.log()

    daemon.config.write_text(right)
    # A rule that this box cannot do, found only when it is made: the new camera does not come.
    yard = box.watched(zones={"door": [[0, 0], [1, 0], [1, 1]]})
    rule = BURST["burst"] | {"zones": ["door"]}
    rewritten(daemon, cameras={"yard": yard, "gate": yard}, prompts={"burst": rule})
    box.eventually(lambda: "expected a detector" in box.errors().get("config", ""), "the rule")
    assert "watching yard, gate" not in daemon.log()

    daemon.config.write_text(right)
    rewritten(daemon, mqtt=box.mqtt(keepalive=60), outbox={"max_bytes": 65536})
    wanted = "after a restart: mqtt.keepalive, outbox.max_bytes"
    box.eventually(lambda: wanted in box.errors().get("config", ""), "what waits for a restart")

    daemon.config.write_text(right)
    daemon.process.send_signal(signal.SIGHUP)
    box.eventually(lambda: "config" not in box.errors(), "no error any more")
    assert {alert["id"] for alert in box.alerts()} == {box.alerts()[0]["id"]}
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
    done = edge("reload", file)
    assert done.returncode == 2
    assert "expected a running daemon" in done.stderr
