"""What a command does whose output nobody takes."""

import subprocess
import sys
from pathlib import Path

import pytest

EDGE = [sys.executable, "-m", "edge"]


@pytest.mark.parametrize("arguments", [["--version"], ["check", "--help"], ["run", "none.yaml"]])
def test_a_full_disk_behind_the_output_is_a_message(arguments: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*EDGE, *arguments], stdout=full, stderr=subprocess.PIPE, check=False)
    words = done.stderr.decode()
    if arguments[0] == "run":  # the control: nothing is written to the output here
        assert done.returncode == 2
        assert "none.yaml" in words
        return
    assert done.returncode == 6
    assert words == (
        "edge: cannot write the output: No space left on device; make room, or write elsewhere\n"
    )


def test_a_reader_that_has_enough_gets_no_message() -> None:
    with subprocess.Popen(
        [*EDGE, "--version"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1
