"""The daemon's life: it starts without a broker, survives its cameras, ends in order."""

import re
import socket
import threading
import time
from pathlib import Path
from typing import Any

from burst import BURST
from running_box import Box, MakeBox

from edge.testing import TestCamera

PASSWORD = "c4nary-p4ss"


def test_what_happened_while_the_broker_was_away_arrives_in_order(make_box: MakeBox) -> None:
    box = make_box()
    daemon = box.start()
    box.eventually(
        lambda: daemon.log().count(" update: yard/burst") >= 5, "alerts without a broker"
    )
    box.connect()
    box.eventually(lambda: len(box.alerts()) >= 5, "alerts over MQTT")
    assert daemon.terminate() == 0
    box.eventually(lambda: box.alerts("end"), "the end of the alert")
    alerts = box.alerts()
    assert [alert["type"] for alert in (alerts[0], alerts[-1])] == ["start", "end"]
    assert len({alert["id"] for alert in alerts}) == 1
    assert [a["at"] for a in alerts] == sorted(a["at"] for a in alerts)


def test_sigterm_ends_within_five_seconds_and_loses_nothing(box: Box) -> None:
    daemon = box.start()
    box.eventually(lambda: len(box.alerts()) >= 5, "alerts")
    began = time.monotonic()
    assert daemon.terminate() == 0
    assert time.monotonic() - began < 5
    committed = daemon.log().count("edge.app: alert ")
    box.eventually(lambda: len(box.alerts()) == committed, f"all {committed} alerts")
    statuses = [payload.decode() for payload in box.heard("status")]
    assert statuses[-1] == "stopped"
    assert "offline" not in statuses


def test_an_impatient_supervisor_that_repeats_sigterm_still_sees_a_clean_end(box: Box) -> None:
    daemon = box.start()
    box.eventually(lambda: " start: yard/burst" in daemon.log(), "an alert")
    deadline = time.monotonic() + 10
    while daemon.process.poll() is None:
        daemon.process.terminate()
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert daemon.process.returncode == 0


def test_a_lost_camera_degrades_the_device_ends_its_alert_and_comes_back(box: Box) -> None:
    box.start(prompts={"burst": BURST["burst"] | {"off_after": "1s"}})
    box.eventually(lambda: box.alerts("start"), "the first alert")
    box.eventually(lambda: box.status() == "online", "online")
    box.camera.power_off()
    box.eventually(lambda: box.status() == "degraded", "degraded")
    box.eventually(lambda: box.alerts("end"), "the end of the alert", 30)
    box.camera.power_on()
    box.eventually(lambda: len(box.alerts("start")) == 2, "the next alert", 40)
    box.eventually(lambda: box.status() == "online", "online again")


def test_state_tells_how_a_camera_does(box: Box) -> None:
    box.start()
    box.eventually(lambda: box.state("yard/state").get("samples", 0) > 5, "samples in the state")
    newest = box.state("yard/state")
    assert newest["state"] in {"streaming", "stalled", "retrying"}
    assert set(newest["scores"]) == {"burst"}
    assert newest["lag_s"] < 5


def test_alerts_that_were_lost_are_counted_in_the_devices_state(make_box: MakeBox) -> None:
    box = make_box()
    settings: dict[str, Any] = {
        "prompts": {"burst": BURST["burst"] | {"text": "x" * 900}},  # an alert is 1.5 kB
        "outbox": {"max_bytes": 65536},
        "embeddings": {"publish": "off"},
    }
    first = box.start(**settings)
    box.eventually(
        lambda: first.log().count("edge.app: alert ") >= 60, "more than there is room for", 40
    )
    assert first.terminate() == 0
    committed = re.findall("edge.app: alert ([0-9A-Z]{26}) (start|update|end):", first.log())
    assert [kind for _, kind in committed if kind != "update"] == ["start", "end"]
    # Nothing is added while the rest is sent: what is on the wire cannot be dropped for room.
    box.camera.power_off()
    box.connect()
    box.start(**settings)
    box.eventually(lambda: box.alerts("end"), "the end of the alert, which is the last")
    heard = [(alert["id"], alert["type"]) for alert in box.alerts()]
    assert heard == committed[-len(heard) :]

    def counts() -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = box.state().get("outbox", {})
        return found

    box.eventually(lambda: counts() and counts()["queued"]["alert"] == 0, "an empty outbox")
    assert counts()["dropped"]["alert"] == len(committed) - len(heard) >= 1


def test_a_wrong_password_is_told_without_the_password(box: Box, clip: Path) -> None:
    with TestCamera({"yard": clip}, user="viewer", password=PASSWORD + "-right") as camera:
        url = camera.url("yard", password=PASSWORD).replace(PASSWORD, "${YARD_PASSWORD}")
        daemon = box.start({"YARD_PASSWORD": PASSWORD}, cameras={"yard": box.watched(url)})
        box.eventually(lambda: "refused" in b"".join(box.heard("yard/state")).decode(), "refusal")
        assert daemon.terminate() == 0
    heard = b"".join(message.payload for message in box.listener.heard).decode(errors="replace")
    assert PASSWORD not in heard + daemon.log()
    assert "401" in daemon.log()


def test_systemd_hears_ready_watchdog_and_stopping(box: Box, tmp_path: Path) -> None:
    heard = []
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))

    def collect() -> None:
        while (word := manager.recv(100).decode()) != "bye":
            heard.append(word)

    collector = threading.Thread(target=collect)
    collector.start()
    daemon = box.start({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"})
    box.eventually(lambda: heard.count("WATCHDOG=1") >= 2, "two pings of the watchdog")
    daemon.terminate()
    manager_address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
        last.sendto(b"bye", manager_address)
    collector.join()
    manager.close()
    assert next(word for word in heard if not word.startswith("STATUS=measuring ")) == "READY=1"
    assert heard[-1] == "STOPPING=1"
