"""A box dies with alerts that the broker has not got; the box that takes its place delivers them."""

from collections import Counter
from pathlib import Path

import pytest
import yaml
from running_box import MakeBox, edge

from edge.resources import OUTBOX


def well(*words: object) -> str:
    """What a command of ``edge`` prints that succeeds."""
    done = edge(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.broker
def test_the_alerts_of_a_dead_box_are_delivered_once_by_the_box_that_takes_its_place(
    make_box: MakeBox, tmp_path: Path
) -> None:
    box = make_box()  # its broker is not there yet
    daemon = box.start()
    outbox = box.state_dir / OUTBOX
    box.eventually(lambda: daemon.log().count(" start: yard/") >= 1, "an alert", 60)
    box.eventually(outbox.exists, "the outbox")
    told = well("backup", tmp_path / "box.edge-backup", "--config", daemon.config)
    assert "passwords and keys" in told
    known = daemon.log()
    daemon.kill()  # the box is dead

    spare = tmp_path / "spare"
    spare.mkdir()
    settings = yaml.safe_load(daemon.config.read_text())
    (spare / "edge.yaml").write_text(yaml.safe_dump({"state_dir": settings["state_dir"]}))
    Path(settings["state_dir"]).rename(tmp_path / "gone")
    told = well("restore", tmp_path / "box.edge-backup", "--config", spare / "edge.yaml")
    assert told.startswith("box, as of ")
    box.connect()
    settings["cameras"]["yard"]["url"] = str(tmp_path / "no camera")
    (spare / "edge.yaml").write_text(yaml.safe_dump(settings))
    box.run(**settings)
    box.eventually(lambda: box.alerts("start"), "the alerts of the dead box", 60)

    def empty() -> bool:
        states = box.heard("state")
        return bool(states) and b'"queued":{"alert":0' in states[-1]

    box.eventually(empty, "an empty outbox", 60)
    starts = Counter(alert["id"] for alert in box.alerts("start"))
    assert set(starts.values()) == {1}
    assert all(f"alert {id_} start" in known for id_ in starts)
