"""`edge health` beside a daemon that works, is stopped, and is killed."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
from running_box import Box, MakeBox, edge
from tiny_bundle import tiny_facts, tiny_files, tiny_golden

from edge.model.bundle.golden import GoldenSet
from edge.system.health import SOCKET, ask
from export.bundle.pack import Artefact, golden_npz, write_bundle


@pytest.mark.broker
def test_only_a_daemon_that_embedded_its_golden_frames_and_runs_is_healthy(
    box: Box,
) -> None:
    # A password that only the service has: `edge health` asks without it.
    daemon = box.start({"ONLY_THE_SERVICE_HAS_IT": "word"}, profile="${ONLY_THE_SERVICE_HAS_IT}")
    well = edge("health", daemon.config, "--wait", "60", "--json")
    assert well.returncode == 0, daemon.log()
    answer = json.loads(well.stdout)
    assert (answer["healthy"], answer["pid"]) == (True, daemon.process.pid)
    assert answer["proven_s"] <= answer["uptime_s"] + 60
    assert answer["cameras"].keys() == {"yard"}
    path = box.state_dir / SOCKET
    daemon.process.send_signal(signal.SIGSTOP)
    assert "stuck" in str(ask(path, patience_s=0.2).problem)
    daemon.process.send_signal(signal.SIGCONT)
    assert ask(path).healthy
    daemon.kill()
    assert path.exists()
    dead = edge("health", daemon.config)
    assert (dead.returncode, dead.stdout[:12]) == (1, "not healthy:")


def test_a_daemon_whose_model_gives_wrong_numbers_is_not_healthy(
    make_box: MakeBox, tmp_path: Path
) -> None:
    golden = tiny_golden()
    image = golden["image"]
    # The graph sees red where the reference says green.
    turned = {name: np.roll(rows, 1, axis=0) for name, rows in image.answers.items()}
    wrong = golden_npz({**golden, "image": GoldenSet(image.inputs, turned)})
    files = tiny_files() | {"golden.npz": Artefact("golden", wrong)}
    write_bundle(tmp_path / "wrong", tiny_facts(), files)
    daemon = make_box().start(bundle=str(tmp_path / "wrong"))
    assert daemon.process.wait(60) == 3
    assert "golden self-test" in daemon.log()
    answer = edge("health", daemon.config)
    assert (answer.returncode, answer.stdout[:12]) == (1, "not healthy:")
