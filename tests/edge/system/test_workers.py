"""Workers are started, seen to fail, and stopped in order."""

import threading
import time
from collections.abc import Iterator

import pytest
from patience import Eventually

from edge.system.backoff import Backoff
from edge.system.pulse import Pulse
from edge.system.workers import WorkerGroup, WorkerThread


class Waiting:
    """A worker that waits until it is stopped, or fails where the test asks for it."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log = name, log
        self.ends = threading.Event()
        self.breaks = False
        self.begun = 0
        self.thread = WorkerThread(name, self._run)

    @property
    def failed(self) -> bool:
        return self.thread.failed

    def start(self) -> None:
        self.thread.start()

    def stop(self, timeout_s: float) -> None:
        self.ends.set()
        if self.thread.join(timeout_s) and self.name not in self.log:
            self.log.append(self.name)

    def fail(self) -> None:
        self.breaks = True
        self.ends.set()

    def _run(self) -> None:
        self.begun += 1
        self.ends.wait(10)
        if self.breaks:
            self.ends.clear()
            self.breaks = False
            raise RuntimeError("a bug")


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def running(log: list[str]) -> Iterator[tuple[WorkerGroup, dict[str, Waiting]]]:
    group = WorkerGroup(Backoff(first_s=0.1, cap_s=0.1, shortest_share=1.0))
    workers = {name: Waiting(name, log) for name in ("camera", "publisher", "desk")}
    for name, worker in workers.items():
        group.start(name, worker, essential=name != "desk")
    yield group, workers
    group.stop(list(workers), 10)


def test_a_worker_that_fails_is_seen_and_logged_once_with_its_traceback(
    running: tuple[WorkerGroup, dict[str, Waiting]],
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    group, workers = running
    assert group.progressing
    workers["camera"].fail()
    eventually(lambda: not group.progressing, "the failure to be seen")
    assert group.failed() == group.failed() == ["camera"]
    group.tend()
    group.tend()
    assert "RuntimeError: a bug" in caplog.text
    assert caplog.text.count("worker camera has failed; it is essential") == 1


def test_a_worker_that_fails_starts_again_and_fails_again_and_starts_again(
    running: tuple[WorkerGroup, dict[str, Waiting]], eventually: Eventually, log: list[str]
) -> None:
    group, workers = running

    def alive() -> bool:
        group.tend()
        return not group.failed()

    for begun in (2, 3):
        workers["camera"].fail()
        eventually(lambda: group.failed() == ["camera"], "the failure to be seen")
        eventually(alive, "the next start")
        eventually(lambda: workers["camera"].begun == begun, "the work to begin again")  # noqa: B023
    assert group.progressing
    assert workers["desk"].begun == 1
    group.stop(["camera"], 10)
    assert log == ["camera"]


def test_a_worker_that_fails_at_once_waits_longer_each_time(
    eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Waiting):
        def _run(self) -> None:
            raise RuntimeError("a bug")

    group = WorkerGroup(Backoff(first_s=0.01, cap_s=0.04, shortest_share=1.0))
    group.start("desk", Failing("desk", []), essential=False)

    def three_waits() -> bool:
        group.tend()
        return caplog.text.count("starts again in") == 4

    eventually(three_waits, "four failures")
    waits = [text.rsplit(" in ", 1)[1] for text in caplog.messages if "starts again in" in text]
    assert waits == ["0.01 s", "0.02 s", "0.04 s", "0.04 s"]


def test_a_worker_that_is_not_essential_does_not_stop_the_progress(
    running: tuple[WorkerGroup, dict[str, Waiting]], eventually: Eventually
) -> None:
    group, workers = running
    workers["desk"].fail()
    eventually(lambda: group.failed() == ["desk"], "the failure to be seen")
    assert group.progressing


def test_workers_stop_in_the_order_that_is_asked_for(
    running: tuple[WorkerGroup, dict[str, Waiting]], log: list[str]
) -> None:
    group, _ = running
    group.stop(["camera"], 10)
    group.stop(["publisher", "desk"], 10)
    group.stop(["camera"], 10)  # it does not run any more
    assert log[0] == "camera"
    assert sorted(log[1:]) == ["desk", "publisher"]
    assert group.failed() == []


def test_a_worker_that_hangs_withholds_the_watchdog_and_one_that_waits_does_not(
    caplog: pytest.LogCaptureFixture, log: list[str], eventually: Eventually
) -> None:
    group, pulse, worker = WorkerGroup(), Pulse(0.05), Waiting("index", log)
    group.start("index", worker, essential=False, pulse=pulse)
    time.sleep(0.1)
    assert group.progressing  # it has nothing to do
    pulse.beat()
    assert group.progressing
    eventually(lambda: not group.progressing, "the piece of work takes too long")
    assert group.late() == ["index"]
    group.tend()
    group.tend()
    assert [record.getMessage() for record in caplog.records] == ["worker index hangs for 0.05 s"]
    pulse.rest()
    assert group.progressing
    group.stop(["index"], 10)
