"""A box dies with alerts that the broker has not got; the box that takes its place delivers them."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge.resources import OUTBOX


def edge(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "edge", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.broker
def test_the_alerts_of_a_dead_box_are_delivered_once_by_the_box_that_takes_its_place(
    run_daemon: Callable[..., Any],
    sections: Callable[..., Any],
    make_broker: Callable[..., Any],
    listen: Callable[..., Any],
    alerts_of: Callable[..., list[dict[str, Any]]],
    eventually: Callable[..., Any],
    clip: Path,
    tmp_path: Path,
) -> None:
    broker = make_broker()  # not there yet
    daemon = run_daemon(**sections(broker.port, str(clip)))
    outbox = tmp_path / "state" / OUTBOX
    eventually(lambda: daemon.log().count(" start: yard/") >= 1, "an alert", 60)
    eventually(outbox.exists, "the outbox")
    told = edge("backup", str(tmp_path / "box.edge-backup"), "--config", str(daemon.config))
    assert "passwords and keys" in told
    known = daemon.log()
    daemon.kill()  # the box is dead

    spare = tmp_path / "spare"
    spare.mkdir()
    settings = yaml.safe_load(daemon.config.read_text())
    (spare / "edge.yaml").write_text(yaml.safe_dump({"state_dir": settings["state_dir"]}))
    Path(settings["state_dir"]).rename(tmp_path / "gone")
    told = edge("restore", str(tmp_path / "box.edge-backup"), "--config", str(spare / "edge.yaml"))
    assert told.startswith("box, as of ")
    listener = listen(broker.start().port)
    settings["cameras"]["yard"]["url"] = str(tmp_path / "no camera")
    (spare / "edge.yaml").write_text(yaml.safe_dump(settings))
    run_daemon(**settings)
    eventually(lambda: alerts_of(listener, "start"), "the alerts of the dead box", 60)

    def empty() -> bool:
        states = listener.payloads("box/state")
        return bool(states) and b'"queued":{"alert":0' in states[-1]

    eventually(empty, "an empty outbox", 60)
    starts = Counter(alert["id"] for alert in alerts_of(listener, "start"))
    assert set(starts.values()) == {1}
    assert all(f"alert {id_} start" in known for id_ in starts)
