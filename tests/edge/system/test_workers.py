"""Workers are started, seen to fail, and stopped in order."""

import threading
from collections.abc import Iterator

import pytest
from patience import Eventually

from edge.system.workers import WorkerGroup, WorkerThread


class Waiting:
    """A worker that waits until it is stopped, or fails where the test asks for it."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log = name, log
        self.ends = threading.Event()
        self.breaks = False
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
        self.ends.wait(10)
        if self.breaks:
            raise RuntimeError("a bug")


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def running(log: list[str]) -> Iterator[tuple[WorkerGroup, dict[str, Waiting]]]:
    group = WorkerGroup()
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
    assert "RuntimeError: a bug" in caplog.text
    assert caplog.text.count("worker camera has failed; it is essential") == 1


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
