"""A process that waits for a processor could not have worked; one that does nothing could have."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.video.process.starving import ProcessTime

SPINS = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])}); print(flush=True)\nwhile True: pass"


WAITS = """
import os, sys
print(flush=True)
opens = (os.POSIX_SPAWN_OPEN, 0, sys.argv[1], os.O_RDONLY, 0)
os.posix_spawn("/bin/true", ["true"], {}, file_actions=[opens])
"""


@pytest.fixture
def uninterruptible(tmp_path: Path) -> Iterator[int]:
    """Id of a process in state D, as one that waits for a disk: its child opens a pipe."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen([sys.executable, "-c", WAITS, pipe], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        stat = Path(f"/proc/{process.pid}/stat")
        while stat.read_text("ascii").split()[2] != "D":
            time.sleep(0.01)
        yield process.pid
        os.close(os.open(pipe, os.O_WRONLY))


@contextmanager
def spinning(policy: int) -> Iterator[int]:
    """Id of a process that always wants the first of our processors."""
    processor = str(min(os.sched_getaffinity(0)))
    process = subprocess.Popen([sys.executable, "-c", SPINS, processor], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process:
        try:
            os.sched_setscheduler(process.pid, policy, os.sched_param(0))
            process.stdout.readline()
            yield process.pid
        finally:
            process.kill()


def usable_s(process: int, seconds: float, **bounds: float) -> float:
    """Seconds of the next ``seconds`` in which it could have worked, looked at now and then."""
    seen = ProcessTime(process, **bounds)
    total, begin = 0.0, time.monotonic()
    last = begin
    while last < begin + seconds:
        time.sleep(0.1)
        now = time.monotonic()
        total, last = total + seen.usable_s(now - last), now
    return total / (last - begin) * seconds


def test_a_process_that_never_gets_a_processor_could_not_have_worked() -> None:
    with spinning(os.SCHED_OTHER), spinning(os.SCHED_IDLE) as starved:
        assert usable_s(starved, 1.0) < 0.5


@pytest.mark.parametrize("stopped", [True, False])
def test_a_process_that_is_stopped_or_sleeps_could_have_worked(*, stopped: bool) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        if stopped:
            os.kill(process.pid, signal.SIGSTOP)
        time.sleep(0.1)
        assert usable_s(process.pid, 0.5) == pytest.approx(0.5)
        process.kill()


def test_a_process_that_waits_for_a_disk_could_not_have_worked(uninterruptible: int) -> None:
    assert usable_s(uninterruptible, 0.5) < 0.1


def test_a_process_that_a_disk_keeps_for_ever_is_not_excused(uninterruptible: int) -> None:
    assert usable_s(uninterruptible, 0.5, disk_s=0.2) > 0.2


def test_a_thread_that_ends_takes_no_time_back() -> None:
    with spinning(os.SCHED_OTHER) as process:
        seen = ProcessTime(process)
        seen._ran_s += 60.0  # of a thread that is gone now
        assert seen.usable_s(0.5) == 0.0


def test_a_process_that_is_gone_is_no_error() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert ProcessTime(process.pid).usable_s(0.25) == 0.25
