"""The daemon's life: it starts without a broker, survives its cameras, ends in order."""

import json
import re
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from burst import BURST

from edge.testing import TestCamera

PASSWORD = "c4nary-p4ss"


def test_what_happened_while_the_broker_was_away_arrives_in_order(
    sections: Callable[..., Any],
    clip: Path,
    run_daemon: Callable[..., Any],
    make_broker: Callable[..., Any],
    listen: Callable[..., Any],
    eventually: Callable[..., Any],
    alerts_of: Callable[..., Any],
) -> None:
    broker = make_broker()
    with TestCamera({"yard": clip}) as camera:
        daemon = run_daemon(**sections(broker.port, camera.url("yard")))
        eventually(
            lambda: daemon.log().count(" update: yard/burst") >= 5, "alerts without a broker"
        )
        broker.start()
        listener = listen(broker.port)
        eventually(lambda: len(alerts_of(listener)) >= 5, "alerts over MQTT")
        assert daemon.terminate() == 0
        eventually(lambda: alerts_of(listener, "end"), "the end of the alert")
    alerts = alerts_of(listener)
    assert [alert["type"] for alert in (alerts[0], alerts[-1])] == ["start", "end"]
    assert len({alert["id"] for alert in alerts}) == 1
    assert [a["at"] for a in alerts] == sorted(a["at"] for a in alerts)


def test_sigterm_ends_within_five_seconds_and_loses_nothing(
    sections: Callable[..., Any],
    clip: Path,
    run_daemon: Callable[..., Any],
    broker: Any,
    listen: Callable[..., Any],
    eventually: Callable[..., Any],
    alerts_of: Callable[..., Any],
) -> None:
    listener = listen(broker.port)
    with TestCamera({"yard": clip}) as camera:
        daemon = run_daemon(**sections(broker.port, camera.url("yard")))
        eventually(lambda: len(alerts_of(listener)) >= 5, "alerts")
        began = time.monotonic()
        assert daemon.terminate() == 0
        assert time.monotonic() - began < 5
    committed = daemon.log().count("edge.app: alert ")
    eventually(lambda: len(alerts_of(listener)) == committed, f"all {committed} alerts")
    statuses = [payload.decode() for payload in listener.payloads("/status")]
    assert statuses[-1] == "stopped"
    assert "offline" not in statuses


def test_an_impatient_supervisor_that_repeats_sigterm_still_sees_a_clean_end(
    sections: Callable[..., Any],
    clip: Path,
    run_daemon: Callable[..., Any],
    broker: Any,
    eventually: Callable[..., Any],
) -> None:
    with TestCamera({"yard": clip}) as camera:
        daemon = run_daemon(**sections(broker.port, camera.url("yard")))
        eventually(lambda: " start: yard/burst" in daemon.log(), "an alert")
        deadline = time.monotonic() + 10
        while daemon.process.poll() is None:
            daemon.process.terminate()
            assert time.monotonic() < deadline
            time.sleep(0.001)
        assert daemon.process.returncode == 0


def test_a_lost_camera_degrades_the_device_ends_its_alert_and_comes_back(
    sections: Callable[..., Any],
    clip: Path,
    run_daemon: Callable[..., Any],
    broker: Any,
    listen: Callable[..., Any],
    eventually: Callable[..., Any],
    alerts_of: Callable[..., Any],
) -> None:
    listener = listen(broker.port)

    def status() -> str | None:
        words = [payload.decode() for payload in listener.payloads("/status")]
        return words[-1] if words else None

    prompts = {"burst": BURST["burst"] | {"off_after": "1s"}}
    with TestCamera({"yard": clip}) as camera:
        run_daemon(**sections(broker.port, camera.url("yard"), prompts=prompts))
        eventually(lambda: alerts_of(listener, "start"), "the first alert")
        eventually(lambda: status() == "online", "online")
        camera.power_off()
        eventually(lambda: status() == "degraded", "degraded")
        eventually(lambda: alerts_of(listener, "end"), "the end of the alert", 30)
        camera.power_on()
        eventually(lambda: len(alerts_of(listener, "start")) == 2, "the next alert", 40)
        eventually(lambda: status() == "online", "online again")


def test_state_tells_how_a_camera_does(
    sections: Callable[..., Any],
    clip: Path,
    run_daemon: Callable[..., Any],
    broker: Any,
    listen: Callable[..., Any],
    eventually: Callable[..., Any],
) -> None:
    listener = listen(broker.port)
    with TestCamera({"yard": clip}) as camera:
        run_daemon(**sections(broker.port, camera.url("yard")))

        def states() -> Any:
            return [json.loads(payload) for payload in listener.payloads("/yard/state")]

        eventually(lambda: states() and states()[-1]["samples"] > 5, "samples in the state")
    newest = states()[-1]
    assert newest["state"] in {"streaming", "stalled", "retrying"}
    assert set(newest["scores"]) == {"burst"}
    assert newest["lag_s"] < 5


def test_alerts_that_were_lost_are_counted_in_the_devices_state(
    sections: Any,
    clip: Any,
    run_daemon: Any,
    make_broker: Any,
    listen: Any,
    eventually: Any,
    alerts_of: Any,
) -> None:
    broker = make_broker()
    prompts = {"burst": BURST["burst"] | {"text": "x" * 900}}  # an alert is 1.5 kB
    more = {"outbox": {"max_bytes": 65536}, "embeddings": {"publish": "off"}}
    with TestCamera({"yard": clip}) as camera:
        settings = sections(broker.port, camera.url("yard"), prompts=prompts, **more)
        first = run_daemon(**settings)
        eventually(
            lambda: first.log().count("edge.app: alert ") >= 60, "more than there is room for", 40
        )
        assert first.terminate() == 0
    committed = re.findall("edge.app: alert ([0-9A-Z]{26}) (start|update|end):", first.log())
    assert [kind for _, kind in committed if kind != "update"] == ["start", "end"]
    # Nothing is added while the rest is sent: what is on the wire cannot be dropped for room.
    broker.start()
    listener = listen(broker.port)
    run_daemon(**settings)
    eventually(lambda: alerts_of(listener, "end"), "the end of the alert, which is the last")
    heard = [(alert["id"], alert["type"]) for alert in alerts_of(listener)]
    assert heard == committed[-len(heard) :]

    def counts() -> Any:
        return [json.loads(state)["outbox"] for state in listener.payloads("/box/state")]

    eventually(lambda: counts() and counts()[-1]["queued"]["alert"] == 0, "an empty outbox")
    assert counts()[-1]["dropped"]["alert"] == len(committed) - len(heard) >= 1


def test_a_wrong_password_is_told_without_the_password(
    sections: Callable[..., Any],
    clip: Path,
    run_daemon: Callable[..., Any],
    broker: Any,
    listen: Callable[..., Any],
    eventually: Callable[..., Any],
) -> None:
    listener = listen(broker.port, "#")
    with TestCamera({"yard": clip}, user="viewer", password=PASSWORD + "-right") as camera:
        url = camera.url("yard", password=PASSWORD)
        environment = {"YARD_PASSWORD": PASSWORD}
        daemon = run_daemon(
            environment,
            **sections(broker.port, url.replace(PASSWORD, "${YARD_PASSWORD}")),
        )
        eventually(
            lambda: "refused" in b"".join(listener.payloads("/yard/state")).decode(), "refusal"
        )
        assert daemon.terminate() == 0
    heard = b"".join(message.payload for message in listener.heard).decode(errors="replace")
    assert PASSWORD not in heard + daemon.log()
    assert "401" in daemon.log()


def test_systemd_hears_ready_watchdog_and_stopping(
    sections: Callable[..., Any],
    clip: Path,
    run_daemon: Callable[..., Any],
    broker: Any,
    tmp_path: Path,
    eventually: Callable[..., Any],
) -> None:
    heard = []
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))

    def collect() -> None:
        while (word := manager.recv(100).decode()) != "bye":
            heard.append(word)

    collector = threading.Thread(target=collect)
    collector.start()
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}
    with TestCamera({"yard": clip}) as camera:
        daemon = run_daemon(environment, **sections(broker.port, camera.url("yard")))
        eventually(lambda: heard.count("WATCHDOG=1") >= 2, "two pings of the watchdog")
        daemon.terminate()
    manager_address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
        last.sendto(b"bye", manager_address)
    collector.join()
    manager.close()
    assert next(word for word in heard if not word.startswith("STATUS=measuring ")) == "READY=1"
    assert heard[-1] == "STOPPING=1"
