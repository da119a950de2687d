"""Somebody says which alerts were right, and the daemon changes its rule; a real broker between."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from running_box import Box
from typer.testing import CliRunner

from edge.cli.main import app
from edge.testing.synthetic import write_clip

pytestmark = pytest.mark.broker

# What the tiny bundle knows is colours. A dull red is what the rule takes for red by mistake.
RED, DULL, BLUE = (230, 20, 20), (170, 110, 90), (20, 20, 230)
SCENES = (RED, BLUE, DULL, BLUE)
SCENE_S = 0.6
RULE = {
    "text": "red",
    "negatives": "blue",
    "threshold": 0.6,
    "on": {"for": 1, "of": 1},
    "off_after": "200ms",
    "update_every": 0,
}


def scene(seconds: float) -> NDArray[np.uint8]:
    colour = SCENES[int(seconds / SCENE_S + 1e-6) % len(SCENES)]
    return np.full((64, 64, 3), colour, np.uint8)


@pytest.fixture
def watching(box: Box, tmp_path: Path) -> Box:
    length = len(SCENES) * SCENE_S
    clip = tmp_path / "colours.mp4"
    write_clip(clip, width=64, height=64, fps=10, seconds=length, gop=2, pattern=scene)
    box.start(
        prompts={"red": RULE},
        cameras={"yard": box.watched(str(clip), loop=True)},
        engine={"kind": "onnxruntime"},
    )
    box.eventually(lambda: "edge/box/feedback/set (QoS 1)" in box.broker.log(), "its subscription")
    return box


@pytest.fixture
def edge(box: Box) -> Callable[..., str]:
    def run(*words: str) -> str:
        at = ["--host", "127.0.0.1", "--port", str(box.broker.port), "--device", "box"]
        result = CliRunner().invoke(app, ["prompts", *at, *words], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    return run


def test_thumbs_teach_a_rule_show_it_and_are_undone(
    watching: Box, edge: Callable[..., str]
) -> None:
    eventually = watching.eventually

    def starts() -> list[dict[str, Any]]:
        return watching.alerts("start")

    def kinds(since: int) -> list[bool]:
        return [alert["margin"] > middle for alert in starts()[since:]]

    def state() -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(edge("show", "--json"))
        return shown

    eventually(lambda: len(starts()) >= 4, "alerts of both kinds")
    margins = [alert["margin"] for alert in starts()[:4]]
    middle = (min(margins) + max(margins)) / 2
    before = state()
    assert before["lessons"] == {}
    for alert in starts()[:4]:
        edge("feedback", alert["id"], "good" if alert["margin"] > middle else "bad")

    eventually(lambda: state()["lessons"], "a lesson")
    lesson = state()["lessons"]["red"]
    assert (lesson["right"], lesson["wrong"]) == (2, 2)
    assert lesson["before"] == {"threshold": 0.6, "right": 2, "wrong": 2}
    assert (lesson["after"]["right"], lesson["after"]["wrong"]) == (2, 0)
    assert min(margins) < lesson["after"]["threshold"] < max(margins)
    shown = " ".join(edge("show").split())
    assert "red was taught by 2 right and 2 wrong alerts: threshold 0.6 ->" in shown
    since = len(starts())
    eventually(lambda: len(starts()) >= since + 3, "alerts after it")
    assert all(kinds(since))  # the dull ones are gone

    edge("sharpen", "red", "off")
    eventually(lambda: state()["prompts"] == before["prompts"], "the rule as it was")
    assert state()["hash"] == before["hash"]
    since = len(starts())
    eventually(lambda: len(starts()) >= since + 4, "alerts after that")
    assert not all(kinds(since))

    edge("sharpen", "red", "on")
    eventually(lambda: state()["lessons"].get("red") == lesson, "the lesson again")
