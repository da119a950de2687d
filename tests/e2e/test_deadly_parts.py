"""A sentence and a camera over which the process dies each time: the box comes up without them."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from burst import BURST

from edge.system.attempts import ATTEMPTS
from edge.testing import TestCamera

DOUBLES = Path(__file__).resolve().parents[1] / "doubles" / "deadly"
CRASHES = {
    "PYTHONPATH": os.pathsep.join([str(DOUBLES), os.environ.get("PYTHONPATH", "")]),
    "EDGE_DEADLY": "green deadly",
}
RULES = {
    "first": {"text": "red", "negatives": "black"},
    "fatal": {"text": "green", "negatives": "black"},
} | BURST
KILLED = -signal.SIGKILL


@pytest.fixture
def start(
    sections: Callable[..., Any], run_daemon: Callable[..., Any], clip: Path, broker: Any
) -> Any:
    with TestCamera({"yard": clip, "gate": clip, "deadly": clip}) as camera:

        def begin(text: str = "green", gate: str = "deadly") -> Any:
            cameras = {
                name: {"url": camera.url(path), "sample": {"fps": 10}, "timeout": "1s"}
                for name, path in (("yard", "yard"), ("gate", gate))
            }
            rules = RULES | {"fatal": RULES["fatal"] | {"text": text}}
            wanted = sections(broker.port, "", prompts=rules, cameras=cameras)
            return run_daemon(CRASHES, **wanted)

        yield begin


@pytest.mark.broker
def test_the_box_comes_up_without_them_and_names_them(
    start: Callable[..., Any],
    broker: Any,
    listen: Callable[..., Any],
    eventually: Callable[..., Any],
    alerts_of: Callable[..., Any],
) -> None:
    listener = listen(broker.port)
    for _ in range(4):  # twice over the sentence, twice over the camera
        daemon = start()
        assert daemon.process.wait(60) == KILLED, daemon.log()
    daemon = start()

    def last(topic: str) -> Any:
        return json.loads((listener.payloads(f"edge/box/{topic}") or [b"{}"])[-1])

    eventually(lambda: last("gate/state").get("state") == "refused", "the state of the camera", 60)
    eventually(lambda: alerts_of(listener, "start"), "an alert of the other camera")
    eventually(lambda: last("state").get("errors"), "the state of the device")
    why = last("state")["errors"]["prompt fatal"]
    assert "'green'" in why
    assert "2 times in a row; to try again, put it in other words, or remove" in why
    assert why in last("prompts/state")["notes"]
    assert why in daemon.log()
    assert set(last("prompts/state")["prompts"]) == {"first", "burst"}
    assert "camera gate is set aside" in last("gate/state")["error"]
    assert "Traceback" not in daemon.log()
    assert daemon.terminate() == 0

    daemon = start(text="blue", gate="gate")
    eventually(
        lambda: last("gate/state")["state"] == "streaming" and not last("state")["errors"],
        "all of it, in other words",
    )
    assert set(last("prompts/state")["prompts"]) == set(RULES)


def test_without_a_note_it_would_die_for_ever(start: Callable[..., Any], tmp_path: Path) -> None:
    """Negative control: the note is lost after each end."""
    for _ in range(3):
        assert start().process.wait(60) == KILLED
        (tmp_path / "state" / ATTEMPTS).unlink()
