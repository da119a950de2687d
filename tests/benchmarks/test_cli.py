"""Messages and exit codes of ``edge-bench`` when it cannot measure."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Bench = Callable[[str], Any]


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("model --bundle /nonexistent", 3, "expected a bundle directory"),
        ("model --engine magic", 2, "--engine: expected one of"),
        ("model --precision fp16", 3, "expected a file for fp16 image as onnx, found fp32, int8"),
        ("model --batch 1,two", 2, "--batch: expected numbers from 1"),
        ("model --batch 0", 2, "--batch: expected numbers from 1"),
        ("model --device GPU", 3, "expected device 'GPU'"),
        ("model --json /nonexistent/report.json", 2, "--json: expected a file"),
        ("pipeline missing.mp4", 4, "missing.mp4 is not a file"),
        ("pipeline missing.mp4 --live", 4, "missing.mp4 is not a file"),
        ("pipeline http://camera/", 2, "expected one of rtsp, rtsps, file"),
        ("pipeline {clip} --engine magic", 2, "--engine: expected one of"),
        ("pipeline {clip} --prompt ' '", 2, "expected some text"),
        ("pipeline {clip} --mqtt localhost", 2, "--mqtt: expected host:port"),
        ("pipeline {clip} --state-dir /nonexistent", 2, "--state-dir: expected a directory"),
        ("pipeline", 2, "Missing argument"),
        ("pipeline {clip} --duration 5", 2, "--duration: expected --live beside it"),
        ("pipeline {clip} --json - --markdown", 2, "--markdown: standard output has the document"),
        ("model --json - --markdown", 2, "--markdown: standard output has the document"),
    ],
)
def test_a_mistake_is_a_message_and_an_exit_code(
    edge_bench: Bench, clip: Path, line: str, code: int, said: str
) -> None:
    done = edge_bench(line.format(clip=clip))
    words = " ".join((done.out + done.err).split())
    assert (done.code, said in words) == (code, True), words


def test_the_daemon_is_not_run_without_a_broker(
    edge_bench: Bench, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.cli.find_mosquitto", lambda: None)
    done = edge_bench(f"pipeline {clip} --live")
    assert (done.code, "--live needs a broker" in done.err) == (2, True)


def test_a_camera_s_password_is_in_no_output(edge_bench: Bench) -> None:
    done = edge_bench("pipeline rtsp://viewer:sesame@127.0.0.1:1/street")
    assert done.code == 4
    assert "viewer:***@127.0.0.1:1" in done.err
    assert "sesame" not in done.out + done.err


def test_a_mistake_shows_no_stack_trace(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from benchmarks.cli import main; main()"]
    done = subprocess.run(
        [*command, "model", "--bundle", tmp_path], check=False, capture_output=True, text=True
    )
    assert done.returncode == 3
    assert done.stderr.startswith("edge-bench: ")
    assert len(done.stderr.splitlines()) == 1
