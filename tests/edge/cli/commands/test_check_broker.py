"""``edge check``: what the broker lets this box do, and whether the outbox is free."""

import contextlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command import Outcome, Run
from live_broker import Broker, Listen, MakeBroker
from patience import Eventually

from edge.cli.checks.outbox import check_outbox
from edge.delivery.mqtt.dialer import connect
from edge.delivery.outbox import Outbox
from edge.delivery.payloads import status_message
from edge.delivery.topics import Topics

HOLD = """
import sys
from pathlib import Path
from edge.delivery.outbox import Outbox
outbox = Outbox(Path(sys.argv[1]), 1 << 20)
print("ready", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def a_process_that_holds(path: Path) -> Iterator[int]:
    """Another process with the outbox, as the daemon is; its number."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        process.stdin.close()


@pytest.fixture
def config(tmp_path: Path, bundle: Path, clip: Path) -> Callable[..., Path]:
    """Writes a configuration for a broker on a port; keywords replace lines of it."""

    def write(port: int, **lines: str) -> Path:
        parts = {
            "device": "{id: box}",
            "bundle": str(bundle),
            "state_dir": str(tmp_path / "state"),
            "mqtt": f"{{host: 127.0.0.1, port: {port}}}",
            "cameras": f"{{yard: {{url: {clip}}}}}",
            "prompts": "{red: {text: red}}",
        }
        path = tmp_path / "edge.yaml"
        path.write_text("\n".join(f"{key}: {value}" for key, value in (parts | lines).items()))
        return path

    return write


def text_of(outcome: Outcome, check: str) -> str:
    """Verdict, finding and advice of one check, each on a line."""
    [found] = [one for one in json.loads(outcome.out)["checks"] if one["check"] == check]
    return "\n".join([found["verdict"], found["found"], *found["advice"]])


def rights(make_broker: MakeBroker, tmp_path: Path, lines: str) -> Broker:
    path = tmp_path / "rights"
    path.write_text(lines)
    return make_broker(f"acl_file {path}").start()


ASKED = ("--no-cameras", "--json")


@pytest.mark.broker
@pytest.mark.parametrize(
    ("lines", "more", "verdict", "said"),
    [
        ("pattern write edge/box/#", {}, "ok", "topics, the broker takes messages on each"),
        (
            "topic readwrite edge/box/#\ntopic read homeassistant/status",
            {"homeassistant": "{discovery: true}"},
            "FAIL",
            "homeassistant/device/edge_box/config (Not authorized); let this box write there",
        ),
        ("topic write edge/box/+/alert", {}, "FAIL", "edge/box/yard/embedding (Not authorized)"),
        # The rights depend on the client id: the daemon's own is tried too.
        ("pattern write %c/box/#\npattern write edge/%c/#", {}, "FAIL", "edge/box/yard/alert"),
    ],
)
def test_topics_that_the_broker_forbids_are_named(
    edge: Run,
    config: Callable[..., Path],
    make_broker: MakeBroker,
    tmp_path: Path,
    lines: str,
    more: dict[str, str],
    verdict: str,
    said: str,
) -> None:
    broker = rights(make_broker, tmp_path, lines + "\n")
    path = config(broker.port, **more)
    outcome = edge("check", path, *ASKED)
    assert outcome.code == (5 if verdict == "FAIL" else 0)
    assert said in text_of(outcome, "topics")
    assert text_of(outcome, "topics").startswith(verdict)


@pytest.mark.broker
def test_rights_of_the_daemons_client_id_are_found_where_no_daemon_runs(
    edge: Run,
    config: Callable[..., Path],
    make_broker: MakeBroker,
    tmp_path: Path,
) -> None:
    broker = rights(make_broker, tmp_path, "pattern write edge/%c/#\n")
    mqtt = f"{{host: 127.0.0.1, port: {broker.port}, client_id: box}}"
    outcome = edge("check", config(broker.port, mqtt=mqtt), *ASKED)
    assert text_of(outcome, "topics").startswith("ok")
    with a_process_that_holds(tmp_path / "state" / "outbox.db") as process:
        outcome = edge("check", config(broker.port, mqtt=mqtt), *ASKED)
    assert broker.log().count("as box (") == 1
    assert "not tried: the box is online" in text_of(outcome, "topics")
    assert f"in use by process {process}" in text_of(outcome, "outbox")


@pytest.mark.broker
@pytest.mark.parametrize(
    ("option", "advice"),
    [
        ("retain_available false", "it keeps no retained messages"),
        ("max_qos 0", "it takes QoS 0 only"),
        ("max_packet_size 2000", "it takes packets of up to 2000 bytes"),
        ("max_keepalive 10", "wants a keep-alive of 10 s"),
    ],
)
def test_what_the_broker_cannot_do_is_named(
    edge: Run,
    config: Callable[..., Path],
    make_broker: MakeBroker,
    option: str,
    advice: str,
) -> None:
    broker = make_broker(option).start()
    outcome = edge("check", config(broker.port), *ASKED)
    assert outcome.code == 0
    assert advice in text_of(outcome, "broker")


@pytest.mark.broker
def test_a_check_changes_nothing_that_is_retained_and_sees_another_box_of_its_name(
    edge: Run,
    config: Callable[..., Path],
    broker: Broker,
    listen: Listen,
    eventually: Eventually,
) -> None:
    path = config(broker.port, homeassistant="{discovery: true}")
    listener = listen(broker.port, "#")
    assert edge("check", path, *ASKED).code == 0
    eventually(lambda: any("/device/" in heard.topic for heard in listener.heard), "a description")
    assert {len(heard.payload) for heard in listener.heard if "/device/" not in heard.topic} == {0}
    assert not listener.payloads("status")  # it never ran here, so it says nothing of it
    with connect(broker.config(), "another") as connection:
        connection.publish(status_message(Topics("edge", "box"), "online"))
        connection.poll(5)
    eventually(lambda: listener.payloads("status"), "a status")
    count = len(listener.heard)
    outcome = edge("check", path, *ASKED)
    assert "a box that calls itself 'box' is online already" in text_of(outcome, "broker")
    assert listener.heard[count:] == []
    later = listen(broker.port, "edge/#")
    eventually(lambda: later.heard, "what is retained")
    assert [(heard.topic, heard.retain) for heard in later.heard] == [("edge/box/status", True)]


def test_an_outbox_that_the_daemon_will_not_get_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "will be made" in check_outbox(tmp_path).result.found
    path = tmp_path / "outbox.db"
    Outbox(path, 1 << 20).close()
    assert check_outbox(tmp_path).result.verdict == "ok"
    with monkeypatch.context() as patch:  # after a start as root
        owners = "edge.cli.checks.outbox.owner"
        patch.setattr(owners, lambda file: "root" if file == path else "edge")
        told = check_outbox(tmp_path).result
    assert told.verdict == "warn"
    assert "give outbox.db to edge, whose the folder is" in told.advice[0]
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version=99")
    told = check_outbox(tmp_path).result
    assert (told.exit_code, "newer version" in told.found) == (6, True)
    path.write_bytes(b"junk" * 1000)
    told = check_outbox(tmp_path).result
    assert (told.verdict, "is damaged" in told.found) == ("warn", True)
    path.unlink()
    path.mkdir()
    told = check_outbox(tmp_path).result
    assert told.exit_code == 6
    assert "it belongs to" in told.found
