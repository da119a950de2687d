"""The process ends in time and with the right exit code, whatever its threads are doing."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from slow_graph import slow_model

from edge.system.ending import Ended, Stop
from edge.system.workers import WorkerThread

# A mutex that is locked twice: a call that no signal interrupts, as of a runtime or a driver.
HANG = """
import ctypes
mutex = ctypes.create_string_buffer(64)
libc = ctypes.CDLL(None)
libc.pthread_mutex_lock(mutex)
libc.pthread_mutex_lock(mutex)
"""
HEED = """
import logging, threading
from edge.system.ending import Stop, heeding_signals
logging.basicConfig(format="%(message)s")
stop, wake = Stop(), threading.Event()
with heeding_signals(stop, wake, 0.3):
    print("ready", flush=True)
    {body}
print("left the block", stop.is_set())
"""
RELOAD = """
import itertools, os, signal, threading
from edge.system.ending import Stop, heeding_signals
signal.signal(signal.SIGHUP, signal.SIG_DFL)
os.close(0)  # no terminal
stop, wake, count = Stop(), threading.Event(), itertools.count(1)
def again():
    print("read again", next(count), flush=True)
with heeding_signals(stop, wake, 5, again):
    print("ready", flush=True)
    stop.wait(10)
print("left the block", stop.is_set())
"""
SLOW_END = """
import atexit, time
atexit.register(lambda: (print("the end of the interpreter", flush=True), time.sleep(60)))
from edge.system.ending import leave
"""
BUSY = """
import sys, threading, time
from pathlib import Path
import numpy as np
from edge.model.engines import EngineSettings, open_engine
from edge.system.ending import leave
class Slow:
    def __del__(self, sleep=time.sleep):
        sleep(5)  # the interpreter takes long to end, so that the thread comes back meanwhile
slow = Slow()
engine = open_engine(sys.argv[1], Path(sys.argv[2]).read_bytes(), EngineSettings())
begun = threading.Event()
def work():
    while True:
        begun.set()
        engine.run({"x": np.zeros((1, 1), np.float32)})
threading.Thread(target=work, daemon=True).start()
begun.wait()
time.sleep(0.05)
print("said before the end", end="")
END(7)
"""


@pytest.fixture
def python() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Run Python code as a process."""
    running: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def asked(process: subprocess.Popen[str], number: int) -> tuple[int, str, str]:
    """Send a signal once the process is ready; its exit code and the rest of its output."""
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=10)
    return process.returncode, out, err


def test_sighup_has_the_configuration_read_again_as_often_as_it_comes(
    python: Callable[..., subprocess.Popen[str]],
) -> None:
    process = python(RELOAD)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    for count in (1, 2):
        process.send_signal(signal.SIGHUP)
        assert process.stdout.readline() == f"read again {count}\n"
    process.terminate()
    assert process.communicate(timeout=10) == ("left the block True\n", "")
    assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_sets_the_stop_and_the_block_ends_by_itself(
    python: Callable[..., subprocess.Popen[str]], number: int
) -> None:
    code = f"import signal; signal.signal({number:d}, signal.SIG_DFL)"  # nohup ignores SIGHUP
    code += HEED.format(body="wake.wait(10)")
    assert asked(python(code), number) == (0, "left the block True\n", "")


def test_further_signals_change_nothing_and_leave_no_trace_in_the_log(
    python: Callable[..., subprocess.Popen[str]],
) -> None:
    body = """stop.wait()
    for _ in range(3):
        os.kill(os.getpid(), signal.SIGTERM)"""
    code = "import os, signal\n" + HEED.format(body=body)
    assert asked(python(code), signal.SIGTERM) == (0, "left the block True\n", "")


def test_the_end_of_a_terminal_ends_nothing_that_nohup_started(
    python: Callable[..., subprocess.Popen[str]],
) -> None:
    code = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    code += HEED.format(body="wake.wait(0.3)")
    assert asked(python(code), signal.SIGHUP) == (0, "left the block False\n", "")


def test_a_call_that_does_not_return_ends_with_exit_code_0_all_the_same(
    python: Callable[..., subprocess.Popen[str]],
) -> None:
    code = HEED.format(body=HANG.replace("\n", "; ").strip("; "))
    code_, out, err = asked(python(code), signal.SIGTERM)
    assert (code_, out) == (0, "")
    assert "a call has not returned for 0.3 s" in err


def test_a_process_whose_end_takes_long_after_the_block_ends_all_the_same(
    python: Callable[..., subprocess.Popen[str]],
) -> None:
    code, out, err = asked(python(SLOW_END + HEED.format(body="wake.wait(10)")), signal.SIGTERM)
    assert (code, out) == (0, "left the block True\nthe end of the interpreter\n")
    assert "a call has not returned for 0.3 s" in err


def test_leaving_takes_no_time_for_the_end_of_the_interpreter(
    python: Callable[..., subprocess.Popen[str]],
) -> None:
    process = python(SLOW_END + "print('said before'); leave(7)")
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (7, "said before\n", "")


def test_output_that_cannot_be_written_is_reported(
    python: Callable[..., subprocess.Popen[str]],
) -> None:
    full = "import os, sys; sys.stdout = open('/dev/full', 'w'); print('lost')\n"
    process = python(f"{full}from edge.system.ending import leave; leave(0)")
    _, err = process.communicate(timeout=10)
    assert process.returncode == 120
    assert "No space left on device" in err


def test_a_block_that_nobody_asks_to_end_leaves_no_thread(
    python: Callable[..., subprocess.Popen[str]],
) -> None:
    process = python(HEED.format(body="pass") + "print(threading.enumerate())")
    out, err = process.communicate(timeout=10)
    assert "left the block False" in out
    assert "signals" not in out + err


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_a_thread_in_a_runtime_does_not_change_the_exit_code(
    python: Callable[..., subprocess.Popen[str]], name: str, tmp_path: Path
) -> None:
    model = tmp_path / "slow.onnx"
    model.write_bytes(slow_model(5))
    process = python(BUSY.replace("END", "leave"), name, model)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (7, "said before the end", "")


def test_without_that_care_the_same_thread_ends_the_process_by_sigabrt(
    python: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    model = tmp_path / "slow.onnx"
    model.write_bytes(slow_model(5))
    ends = set[int]()
    for _ in range(
        6
    ):  # the thread must be in the runtime at that moment, which is a matter of luck
        process = python(BUSY.replace("END", "sys.exit"), "onnxruntime", model)
        process.communicate(timeout=20)
        ends.add(process.returncode)
        if ends & {-signal.SIGABRT, -signal.SIGSEGV}:
            return
    pytest.fail(f"expected a death by a signal, found exit codes {ends}")


def test_work_that_is_given_up_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    stop = Stop()
    stop.check()
    stop.set()
    with pytest.raises(Ended):
        stop.check()
    worker = WorkerThread("rollout", stop.check)
    worker.start()
    assert worker.join(10)
    assert not worker.failed
    assert "error" not in caplog.text


def test_the_time_of_the_first_request_counts() -> None:
    stop = Stop()
    assert stop.since is None
    stop.set()
    first = stop.since
    threading.Event().wait(0.01)
    stop.set()
    assert stop.since == first
