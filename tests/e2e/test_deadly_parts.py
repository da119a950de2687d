"""A sentence and a camera over which a process dies each time: the box comes up without them."""

import os
import signal
from pathlib import Path

import pytest
from burst import BURST
from running_box import Box, Daemon, MakeBox

from edge.system.attempts import ATTEMPTS

DOUBLES = Path(__file__).resolve().parents[1] / "doubles" / "deadly"
CRASHES = {
    "PYTHONPATH": os.pathsep.join([str(DOUBLES), os.environ.get("PYTHONPATH", "")]),
    "EDGE_DEADLY": "green gate",
}
RULES = {
    "first": {"text": "red", "negatives": "black"},
    "fatal": {"text": "green", "negatives": "black"},
} | BURST
KILLED = -signal.SIGKILL


def start(box: Box, text: str = "green", stream: str = "gate") -> Daemon:
    """Start a daemon; its second camera shows a stream that is deadly, or another."""
    cameras = {"yard": box.watched(), "gate": box.watched(box.camera.url(stream))}
    rules = RULES | {"fatal": RULES["fatal"] | {"text": text}}
    return box.start(CRASHES, prompts=rules, cameras=cameras)


@pytest.mark.broker
def test_the_box_comes_up_without_them_and_names_them(box: Box) -> None:
    for _ in range(2):  # over the sentence; over the camera only its own process dies
        daemon = start(box)
        assert daemon.process.wait(60) == KILLED, daemon.log()
    daemon = start(box)
    box.eventually(
        lambda: box.state("gate/state").get("state") == "failed", "the state of the camera", 60
    )
    box.eventually(lambda: box.alerts("start"), "an alert of the other camera")
    box.eventually(box.errors, "the state of the device")
    why = box.errors()["prompt fatal"]
    assert "'green'" in why
    assert "2 times in a row; to try again, put it in other words, or remove" in why
    assert why in box.state("prompts/state")["notes"]
    assert why in daemon.log()
    assert set(box.state("prompts/state")["prompts"]) == {"first", "burst"}
    assert box.state("gate/state")["error"] == "its process was ended by SIGKILL"
    assert "Traceback" not in daemon.log()
    assert daemon.terminate() == 0

    start(box, text="blue", stream="yard")
    box.eventually(
        lambda: box.state("gate/state")["state"] == "streaming" and not box.errors(),
        "all of it, in other words",
    )
    assert set(box.state("prompts/state")["prompts"]) == set(RULES)


def test_without_a_note_it_would_die_for_ever(make_box: MakeBox) -> None:
    """Negative control: the note is lost after each end."""
    box = make_box()
    for _ in range(3):
        assert start(box).process.wait(60) == KILLED
        (box.state_dir / ATTEMPTS).unlink()
