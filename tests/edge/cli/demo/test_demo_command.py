"""``edge demo`` as users run it: a process, with the daemon in another one."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from known import known

from edge.testing import TestCamera

PASSWORD = "c4nary-p4ss"
WRONG = "n0t-the-p4ss"


@pytest.fixture
def demo(bundle: Path, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start ``edge demo``; ends what a failed test leaves."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: Path | int | str, **environment: str) -> subprocess.Popen[str]:
        own = ["demo", "--bundle", bundle, "--out", tmp_path / "demo", *arguments]
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "edge", *map(str, own)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=90)
    return process.returncode, out, err


def transcript(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "transcript.jsonl").read_text().splitlines()]


def test_a_prompt_that_is_seen_alerts_and_one_that_is_not_stays_quiet(
    demo: Callable[..., subprocess.Popen[str]], clip: Path, tmp_path: Path
) -> None:
    out = tmp_path / "demo"
    code, printed, err = said(
        demo("--video", clip, "--prompt", "red", "--prompt", "green", "--seconds", 4, "--json")
    )
    assert code == 0, err
    summary = json.loads(printed)
    alerts = {name: prompt["alerts"] for name, prompt in summary["prompts"].items()}
    assert alerts["red"] >= 1
    assert alerts["green"] == 0
    assert summary["prompts"]["red"]["largest_margin"] > summary["threshold"]
    assert summary["prompts"]["green"]["largest_margin"] < summary["threshold"]
    assert 0 < summary["first_alert_s"] < 60
    for alert in summary["alerts"]:
        assert Path(alert["snapshot"]).read_bytes().startswith(b"\xff\xd8\xff")
    assert (out / "scores.png").read_bytes().startswith(b"\x89PNG")
    heard = transcript(out)
    assert heard[-1]["payload"] == "stopped"
    assert sum(line["topic"].endswith("/embedding") for line in heard) == summary["samples"]
    told = [line["payload"] for line in heard if line["topic"].endswith("/alert")]
    assert (told[0]["type"], told[-1]["type"]) == ("start", "end")
    # The subscriber's own margins, from embeddings, are those that the daemon decided on: over the
    # wire each value is off by half a step of 1/127 at most, and red is red in every sample.
    largest = summary["prompts"]["red"]["largest_margin"]
    assert told[0]["margin"] == pytest.approx(largest, abs=0.02)


def test_people_read_each_alert_the_files_and_what_to_try_next(
    demo: Callable[..., subprocess.Popen[str]], clip: Path, tmp_path: Path
) -> None:
    code, printed, err = said(
        demo("--video", clip, "--prompt", "red", "--seconds", 3, "--aspect", "1:1")
    )
    assert code == 0, err
    assert "start  'red'  margin +" in printed
    assert "end    'red'" in printed
    for name in ("snapshots/", "scores.png", "transcript.jsonl", "edge.yaml", "daemon.log"):
        assert name in printed
        assert (tmp_path / "demo" / name).exists()
    for snapshot in (tmp_path / "demo" / "snapshots").iterdir():
        with av.open(snapshot) as picture:
            stream = picture.streams.video[0]
            assert (stream.width, stream.height) == (64, 64)  # stored as 64 x 48
    assert "edge demo --url" in printed
    assert "\x1b" not in printed


def test_without_an_alert_it_fails_and_says_why(
    demo: Callable[..., subprocess.Popen[str]], clip: Path
) -> None:
    code, printed, err = said(demo("--video", clip, "--prompt", "green", "--seconds", 2, "--json"))
    assert code == 1
    assert json.loads(printed)["alerts"] == []
    assert "no alert in" in err
    assert "green" in err
    assert "watching street" in err  # the daemon's log


def test_a_daemon_that_ends_early_is_the_reason(
    demo: Callable[..., subprocess.Popen[str]], clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "demo").mkdir()
    process = demo("--video", clip, "--prompt", "red", "--seconds", 60)
    log = tmp_path / "demo" / "daemon.log"
    deadline = time.monotonic() + 60
    while not (log.exists() and "watching" in log.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    first_line = known(process.stdout).readline()
    os.kill(int(first_line.rsplit("pid ", 1)[1]), signal.SIGKILL)
    code, _, err = said(process)
    assert code == 1
    assert "the daemon ended with exit code -9" in err


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_interrupting_ends_everything_with_the_summary(
    demo: Callable[..., subprocess.Popen[str]],
    clip: Path,
    tmp_path: Path,
    signal_number: signal.Signals,
) -> None:
    process = demo("--video", clip, "--prompt", "red", "--seconds", 600)
    pid = int(known(process.stdout).readline().rsplit("pid ", 1)[1])
    assert "start" in known(process.stdout).readline()
    process.send_signal(signal_number)
    code, printed, err = said(process)
    assert code == 0, err
    assert "1 alert" in printed
    assert transcript(tmp_path / "demo")[-1]["payload"] == "stopped"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_password_of_a_camera_is_in_no_file_and_no_output(
    demo: Callable[..., subprocess.Popen[str]], clip: Path, tmp_path: Path
) -> None:
    out = tmp_path / "demo"
    with TestCamera({"yard": clip}, user="viewer", password=PASSWORD) as camera:
        url = camera.url("yard")
        code, printed, err = said(demo("--prompt", "red", "--seconds", 2, EDGE_DEMO_URL=url))
        assert code == 0, err
        wrong = demo("--url", camera.url("yard", password=WRONG), "--prompt", "red")
        printed += known(wrong.stdout).readline()
        log = out / "daemon.log"
        deadline = time.monotonic() + 60
        while "***@" not in log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        wrong.send_signal(signal.SIGINT)
        code, more, errors = said(wrong)
    assert code == 1
    assert "no picture arrived from the camera" in errors
    assert "rtsp://viewer:***@" in errors
    files = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert "${EDGE_DEMO_URL}" in (out / "edge.yaml").read_text()
    for secret in (PASSWORD, WRONG):
        assert not [path for path, content in files.items() if secret.encode() in content]
        assert secret not in printed + err + more + errors


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--video", "nowhere.mp4"], 4, "nowhere.mp4"),
        (["--url", "gopher://x"], 2, "gopher"),
        (["--url", "rtsp://192.0.2.1/x", "--video", "x.mp4"], 2, "found both"),
        (["--url", "rtsp://192.0.2.1/x", "--prompt", " "], 2, "expected some text"),
        (["--bundle", "nowhere"], 3, "nowhere"),
        (["--aspect", "wide"], 2, "--aspect: expected width:height"),
    ],
)
def test_a_wrong_argument_is_a_message_and_an_exit_code(
    demo: Callable[..., subprocess.Popen[str]],
    clip: Path,
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    own = [] if "--url" in arguments or "--video" in arguments else ["--video", clip]
    found, printed, err = said(demo(*arguments, *own))
    assert (found, printed) == (code, "")
    assert words in err
    assert "Traceback" not in err


def test_without_the_clip_the_user_is_told_how_to_fetch_it(
    demo: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    code, _, err = said(demo(XDG_DATA_HOME=str(tmp_path)))
    assert code == 2
    assert "edge-export footage" in err
