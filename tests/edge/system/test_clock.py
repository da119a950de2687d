"""Whether the box's clock is synchronised, by whoever sets it."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from edge.system.clock import clock_synced


@pytest.mark.parametrize(("state", "synced"), [(0, True), (1, True), (5, False), (-1, None)])
def test_without_timesyncd_the_kernel_says_it(
    tmp_path: Path, state: int, synced: bool | None
) -> None:
    assert clock_synced(tmp_path / "none", lambda: state) is synced


def test_timesyncd_says_it_itself(tmp_path: Path) -> None:
    assert clock_synced(tmp_path, lambda: 0) is False
    (tmp_path / "synchronized").touch()
    assert clock_synced(tmp_path, lambda: 5) is True


# A filter of system calls that lets all pass but adjtimex, under both of its names.
UNDER_A_FILTER = """
import ctypes, errno, struct, sys
from pathlib import Path
libc = ctypes.CDLL(None, use_errno=True)
ALLOW = 0x7FFF0000
old, new = {"x86_64": (159, 305), "aarch64": (171, 266)}[sys.argv[2]]
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in [
    (0x20, 0, 0, 0),  # load the number of the system call
    (0x15, 1, 0, old),  # adjtimex?
    (0x15, 0, 1, new),  # clock_adjtime?
    (0x06, 0, 0, int(sys.argv[1])),
    (0x06, 0, 0, ALLOW),
]))
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_void_p)]
assert libc.prctl(38, 1, 0, 0, 0) == 0  # no new privileges
filter = Program(5, ctypes.addressof(program))
assert libc.prctl(22, 2, ctypes.byref(filter), 0, 0) == 0, ctypes.get_errno()
from edge.system.clock import clock_synced, may_ask
print(may_ask(), clock_synced(Path("none")))
"""


@pytest.mark.skipif(platform.machine() not in {"x86_64", "aarch64"}, reason="another machine")
@pytest.mark.parametrize(
    ("action", "asked"),
    [(0x80000000, "False None"), (0x00050001, "True None"), (0x7FFF0000, None)],
    ids=["kills the process", "EPERM", "lets it pass"],
)
def test_a_filter_of_system_calls_is_survived_and_one_that_lets_the_question_pass_is_used(
    tmp_path: Path, action: int, asked: str | None
) -> None:
    words = [sys.executable, "-c", UNDER_A_FILTER, str(action), platform.machine()]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    # The control: where the question passes, the answer is that of a process without a filter.
    assert done.stdout.strip() == (asked or f"True {clock_synced(tmp_path / 'none')}")


def test_the_kernel_of_this_machine_is_asked_and_its_clock_stays(tmp_path: Path) -> None:
    answer = clock_synced(tmp_path / "none")
    assert answer in {True, False, None}
    assert clock_synced(tmp_path / "none") is answer
