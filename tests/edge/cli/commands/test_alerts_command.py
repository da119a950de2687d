"""``edge alerts`` as a process whose output is a pipe."""

import json
import os
import subprocess
import sys

import pytest
from live_broker import Broker, Tell

ALERT = {
    "schema": "edge-alert/1", "id": "01JX7ZK4Q8V5R2M9T6B3N0C1DE", "type": "end", "device": "box",
    "camera": "yard", "prompt": {"id": "cat", "text": "a cat on a wall " * 12}, "score": 0.3,
    "margin": 0.031, "threshold": 0.05, "started_at": "2026-01-01T22:00:00Z",
    "at": "2026-01-01T22:02:05Z", "ended_at": "2026-01-01T22:02:05Z",
    "model": {"id": "m", "hash": "h", "precision": "int8"},
}  # fmt: skip


@pytest.mark.broker
def test_it_says_when_it_listens_and_prints_one_line_for_each_alert(
    broker: Broker, tell: Tell
) -> None:
    port = str(broker.port)
    command = [sys.executable, "-m", "edge", "alerts", "--host", "127.0.0.1", "--port", port]
    environment = {**os.environ, "TZ": "Asia/Seoul", "COLUMNS": "60"}
    with subprocess.Popen(
        [*command, "--count", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stderr is not None
        waiting = process.stderr.readline()
        assert waiting == f"connected to 127.0.0.1:{port}, waiting on edge/+/+/alert\n"
        tell(broker.port, "edge/box/yard/alert", json.dumps(ALERT))
        tell(broker.port, "edge/box/yard/alert", json.dumps({**ALERT, "margin": 0.05}))
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    first, second = out.splitlines()
    assert first.startswith("2026-01-02 07:02:05 KST end    box/yard cat: 'a cat on a wall")
    assert first.endswith("margin +0.031 under 0.050 after 2 min 5 s")
    assert "margin +0.050 over 0.050" in second
