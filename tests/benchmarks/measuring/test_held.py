"""What a process holds, read from /proc."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from benchmarks.measuring.held import held


def test_files_threads_and_memory_are_counted(tmp_path: Path) -> None:
    before = held(os.getpid())
    release = threading.Event()
    threads = [threading.Thread(target=release.wait) for _ in range(5)]
    files = [(tmp_path / f"{number}").open("w") for number in range(7)]
    block = bytearray(os.urandom(30_000_000))
    for thread in threads:
        thread.start()
    after = held(os.getpid())
    release.set()
    for file in files:
        file.close()
    assert after.fds - before.fds == 7
    assert after.threads - before.threads == 5
    assert after.rss_mb - before.rss_mb > 20
    assert after.cpu_s >= before.cpu_s
    assert len(block) == 30_000_000


def test_children_count_unless_they_are_no_part_of_it() -> None:
    before = held(os.getpid())
    spins = "import sys, time\nwhile time.process_time() < 0.2: pass\nprint(flush=True)\nsys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", spins], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with_it, without = held(os.getpid()), held(os.getpid(), {child.pid})
        child.communicate()
    assert with_it.cpu_s - without.cpu_s >= 0.15
    assert with_it.threads == without.threads + 1 == before.threads + 1
    assert held(os.getpid()).cpu_s >= with_it.cpu_s  # it has ended, and counts still


def test_a_process_that_is_gone_is_an_error() -> None:
    with pytest.raises(OSError, match="No such file"):
        held(2**22 - 1)
