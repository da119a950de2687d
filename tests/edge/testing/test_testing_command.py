"""``python -m edge.testing`` as a process."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import pytest
from known import known

from edge.testing.synthetic import write_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(
        tmp_path_factory.mktemp("clips") / "street.mp4", width=64, height=64, seconds=1
    )


@contextmanager
def command(
    *arguments: Path | str, stdin: int = subprocess.PIPE
) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "edge.testing", *map(str, arguments)],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_with_the_flag_it_serves_until_its_input_ends(clip: Path) -> None:
    arguments = ("--until-stdin-closes", clip, f"door={clip}", "--user", "u", "--password", "p")
    with command(*arguments) as process:
        lines = [json.loads(known(process.stdout).readline()) for _ in range(2)]
        assert [line["name"] for line in lines] == ["street", "door"]
        assert lines[0]["url"].startswith("rtsp://u:p@127.0.0.1:")
        with av.open(
            lines[1]["url"], options={"rtsp_transport": "tcp", "probesize": "32"}, timeout=10
        ) as container:
            next(container.decode(video=0))
            known(process.stdin).close()
            assert process.wait(timeout=10) == 0
        assert known(process.stderr).read() == ""


def test_without_input_it_serves_until_a_signal(clip: Path) -> None:
    with command(clip, stdin=subprocess.DEVNULL) as process:
        url = json.loads(known(process.stdout).readline())["url"]
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1)
        with av.open(
            url, options={"rtsp_transport": "tcp", "probesize": "32"}, timeout=10
        ) as container:
            next(container.decode(video=0))
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
        assert known(process.stderr).read() == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_on_signals_in_silence(clip: Path, number: signal.Signals) -> None:
    with command(clip) as process:
        known(process.stdout).readline()
        process.send_signal(number)
        assert process.wait(timeout=10) == 0
        assert known(process.stderr).read() == ""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing.mp4"], 4, "missing.mp4: expected a readable video file"),
        ([__file__], 4, "expected a readable video file"),
        (["a/street.mp4", "b/street.mp4"], 2, "say NAME=CLIP"),
        (["street.mp4", "--user", "u"], 2, "--user and --password together"),
    ],
)
def test_a_bad_command_line_is_explained(arguments: list[str], code: int, message: str) -> None:
    with command(*arguments) as process:
        assert process.wait(timeout=20) == code
        assert message in known(process.stderr).read()
        assert known(process.stdout).read() == ""
