"""The supervisor and its server: what the one does where the other fails, or nothing ends a process."""

import ctypes
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from known import known
from patience import Until

from edge.config.models import CameraConfig, SnapshotsConfig
from edge.model.bundle.manifest import ImageSpec
from edge.video.process import nursery, server, supervisor
from edge.video.process.beginning import Beginning
from edge.video.process.camera import ProcessCamera
from edge.video.process.life import Life
from edge.video.process.limits import LIMITS, ProcessLimits
from edge.video.process.supervisor import Supervisor

PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture
def begin(
    image_spec: Callable[..., ImageSpec], request: pytest.FixtureRequest
) -> Iterator[Callable[..., ProcessCamera]]:
    """Start a camera that does what its name says; the supervisor is the test's own."""
    one = Supervisor(0.05, "bad_children")
    one.start()

    def build(name: str, limits: ProcessLimits = LIMITS) -> ProcessCamera:
        config = CameraConfig.model_validate({"url": "rtsp://127.0.0.1/none"})
        worker = ProcessCamera(
            Beginning(name, config, image_spec(), None), lambda: None, one.attend,
            snapshots=SnapshotsConfig(), limits=limits,
        )  # fmt: skip
        worker.start()
        request.addfinalizer(lambda: worker.stop(0.0))
        return worker

    yield build
    assert one.stop(5.0)


@pytest.fixture
def subreaper() -> Iterator[None]:
    """Give this process the children of those of its own that end, as the first process has it."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    yield
    libc.prctl(PR_SET_CHILD_SUBREAPER, 0)


def process_of(worker: ProcessCamera) -> int:
    return known(known(worker.life).process)


def parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


NO_DESCRIPTOR = """
import os
real = os.pidfd_open
def once(process):
    os.pidfd_open = real
    raise OSError(24, "Too many open files")
os.pidfd_open = once
"""
LOST_DESCRIPTORS = """
import os, socket
real = socket.recv_fds
def once(*args):
    socket.recv_fds = real
    data, fds, *rest = real(*args)
    os.close(fds.pop())
    return data, fds, *rest
socket.recv_fds = once
"""


@pytest.mark.parametrize("fault", [NO_DESCRIPTOR, LOST_DESCRIPTORS])
def test_a_server_without_a_free_descriptor_refuses_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, begin: Callable[..., ProcessCamera], until: Until, fault: str
) -> None:
    def command(fd: int, child: str) -> list[str]:
        *python, program = server.command(fd, child)
        return [*python, fault + program]

    monkeypatch.setattr(nursery, "command", command)
    worker = begin("keeps to the rules")
    until("it is refused", lambda: worker.health().error)
    assert worker.health().error == "its process cannot begin: Too many open files"
    until("the next one is there", lambda: worker.life is not None and worker.life.process)
    assert not known(worker.life).gone


def test_a_server_that_cannot_begin_is_said_of_each_camera_and_keeps_none_from_its_end(
    monkeypatch: pytest.MonkeyPatch, begin: Callable[..., ProcessCamera], until: Until
) -> None:
    def none(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "no process left")

    monkeypatch.setattr(subprocess, "Popen", none)
    worker = begin("keeps to the rules")
    until("it is said", lambda: worker.health().state == "failed")
    assert worker.health().error == (
        "its process cannot begin: the server of the cameras' processes cannot begin: "
        "no process left"
    )
    assert worker.stop(5.0)
    assert worker.health().state == "stopped"


def test_a_server_that_ends_while_it_loads_is_said_of_each_camera(
    monkeypatch: pytest.MonkeyPatch, begin: Callable[..., ProcessCamera], until: Until
) -> None:
    monkeypatch.setattr(
        nursery, "command", lambda *_: [sys.executable, "-ISc", "raise SystemExit(3)"]
    )
    worker = begin("keeps to the rules")
    until("it is said", lambda: "ended with code 3" in (worker.health().error or ""))
    assert worker.stop(5.0)


@pytest.mark.usefixtures("subreaper")
def test_a_server_that_ends_leaves_no_zombie(
    begin: Callable[..., ProcessCamera], until: Until
) -> None:
    worker = begin("keeps to the rules")
    until("it streams", lambda: worker.health().state == "streaming")
    process = process_of(worker)
    os.kill(parent_of(process), signal.SIGKILL)
    until("nothing is left", lambda: not Path(f"/proc/{process}").exists())
    until("it is back", lambda: worker.life is not None and worker.life.process)
    assert worker.health().error == "its process has ended with its server"


def test_no_second_process_is_begun_beside_one_that_nothing_ends(
    monkeypatch: pytest.MonkeyPatch, begin: Callable[..., ProcessCamera], until: Until
) -> None:
    monkeypatch.setattr(supervisor, "_LOST_S", 0.1)
    handles: list[int] = []
    begun: list[int] = []
    with monkeypatch.context() as nothing_ends:
        nothing_ends.setattr(signal, "pidfd_send_signal", lambda fd, _: handles.append(os.dup(fd)))
        worker = begin("is silent", ProcessLimits(silence_s=0.2))
        until("it is let go of", lambda: worker.health().state == "failed")
        real = worker.begin

        def begin_next(number: int) -> Life | None:
            begun.append(number)
            return real(number)

        nothing_ends.setattr(worker, "begin", begin_next)
        until("the next one is due", lambda: begun or worker.is_due(time.monotonic()))
        time.sleep(0.3)  # some rounds
        assert not begun
    signal.pidfd_send_signal(handles[0], signal.SIGKILL)
    for handle in handles:
        os.close(handle)
    until("the next one begins", lambda: worker.life is not None)
