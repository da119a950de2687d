"""Cameras in processes: what ends one, how it comes back, and what it may not do to the daemon."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Semaphore

import bad_children
import numpy as np
import pytest
from known import known
from patience import Until
from watched_camera import take_next

from edge.config.models import CameraConfig, SnapshotsConfig
from edge.model.bundle.manifest import ImageSpec
from edge.system.redact import register_secret
from edge.testing import TestCamera
from edge.video.process.beginning import Beginning
from edge.video.process.camera import ProcessCamera
from edge.video.process.limits import LIMITS, ProcessLimits
from edge.video.process.nursery import environment
from edge.video.process.supervisor import Supervisor

KILLS = int(os.environ.get("EDGE_WORKER_KILLS", "3"))
BACK_S = 3.0


def process_of(worker: ProcessCamera) -> int:
    """Id of the camera's process."""
    return known(known(worker.life).process)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def is_there(process: int) -> bool:
    """Whether a process runs or is a zombie."""
    return Path(f"/proc/{process}").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_process_that_dies_is_back_and_nothing_of_it_is_left(
    camera: TestCamera,
    watch: Callable[..., ProcessCamera],
    until: Until,
    record_property: Callable[[str, object], None],
    number: signal.Signals,
) -> None:
    worker = watch(camera.url("yard"), timeout=5.0)
    last = take_next(worker, until).sequence
    before, slowest_s = descriptors(), 0.0
    for _ in range(KILLS):
        process, reconnects = process_of(worker), worker.health().reconnects
        os.kill(process, number)
        began = time.monotonic()
        until("it is noticed", lambda: worker.health().state == "failed")
        assert f"its process was ended by {number.name}" in known(worker.health().error)
        until("samples", lambda: worker.health().reconnects > reconnects)  # noqa: B023
        slowest_s = max(slowest_s, time.monotonic() - began)
        assert not is_there(process)
        worker.take()
        sample = take_next(worker, until)
        assert sample.sequence > last
        last = sample.sequence
    record_property("back_s", round(slowest_s, 2))
    assert worker.health().error is None
    assert worker.health().reconnects == KILLS
    assert descriptors() <= before


def test_the_last_sample_of_a_process_that_died_can_still_be_read(
    camera: TestCamera, watch: Callable[..., ProcessCamera], until: Until
) -> None:
    worker = watch(camera.url("yard"), timeout=5.0)
    sample = take_next(worker, until)
    copy = sample.pixels.copy()
    os.kill(process_of(worker), signal.SIGKILL)
    until("the next process gives samples", lambda: worker.health().reconnects == 1)
    assert np.array_equal(sample.pixels, copy)
    assert worker.snapshot(sample.sequence) is None  # its frame has died


def test_a_process_that_stands_still_is_ended_and_no_other_camera_suffers(
    camera: TestCamera, watch: Callable[..., ProcessCamera], until: Until
) -> None:
    limits = ProcessLimits(silence_s=2.5, answer_s=0.3)  # it says how it does each second
    good, bad = (
        watch(camera.url("yard"), timeout=5.0),
        watch(camera.url("yard"), timeout=5.0, limits=limits),
    )
    take_next(good, until)
    sample = take_next(bad, until)
    process = process_of(bad)
    os.kill(process, signal.SIGSTOP)
    began = time.monotonic()
    assert bad.snapshot(sample.sequence) is None  # within its time
    assert bad.snapshot(sample.sequence) is None  # at once, as it owes the other answer
    assert time.monotonic() - began < 1.0
    until("it is noticed", lambda: bad.health().state == "failed")
    assert "its process was silent for " in known(bad.health().error)
    until("it is back", lambda: bad.health().reconnects == 1)
    assert not is_there(process)
    assert good.health().reconnects == 0
    assert good.health().error is None


@pytest.fixture(scope="module")
def bad_supervisor() -> Iterator[Supervisor]:
    one = Supervisor(0.1, "bad_children")
    one.start()
    yield one
    assert one.stop(5.0)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        *((name, "sent what is no record") for name in (
            "noise", "no record", "more than it has", "no number", "a log of others",
        )),
        ("too long", "sent a record that is too long"),
        *((name, "sent a sample that cannot be") for name in (
            "no such slot", "a slot twice", "backwards", "of the future", "of the past", "a jump",
        )),
        *((name, "sent health that cannot be") for name in (
            "a count that jumps", "damage that jumps", "a packet of ages ago",
        )),
        ("unasked", "sent an answer that nobody asked for"),
        ("a chatterbox", "sent more than 10 lines for the log"),
        ("a flood", "sent more than 100 records in a second"),
        *((name, "sent an end that nobody asked for") for name in ("has ended", "has stopped")),
        ("many threads", "has "),
        ("hangs", "did not come back from 'decode' for "),
        ("grows", "took "),
        ("is silent", "was silent for "),
    ],
)  # fmt: skip
def test_a_process_in_a_strangers_hands_is_ended(
    bad_supervisor: Supervisor,
    until: Until,
    image_spec: Callable[..., ImageSpec],
    name: str,
    words: str,
) -> None:
    config = CameraConfig.model_validate({"url": "rtsp://127.0.0.1/none"})
    silence_s = 1.0 if name == "is silent" else 10.0
    limits = ProcessLimits(silence_s=silence_s, records=100, lines=10, memory_bytes=60_000_000)
    worker = ProcessCamera(
        Beginning(name, config, image_spec(), None), lambda: None, bad_supervisor.attend,
        snapshots=SnapshotsConfig(), limits=limits,
    )  # fmt: skip
    worker.start()
    until("it is ended", lambda: worker.health().state == "failed")
    assert known(worker.health().error).startswith(f"its process {words}")
    assert worker.stop(5.0)


def bad_camera(
    name: str,
    supervisor: Supervisor,
    spec: ImageSpec,
    limits: ProcessLimits = LIMITS,
    wake: Callable[[], None] = lambda: None,
) -> ProcessCamera:
    """A camera that runs and does what its name says."""
    config = CameraConfig.model_validate({"url": "rtsp://127.0.0.1/none"})
    worker = ProcessCamera(
        Beginning(name, config, spec, None), wake, supervisor.attend,
        snapshots=SnapshotsConfig(), limits=limits,
    )  # fmt: skip
    worker.start()
    return worker


def test_a_process_that_ends_by_a_signal_without_a_name_ends_no_supervisor(
    bad_supervisor: Supervisor, until: Until, image_spec: Callable[..., ImageSpec]
) -> None:
    worker = bad_camera("a signal without a name", bad_supervisor, image_spec())
    until("it is ended", lambda: worker.health().state == "failed")
    assert worker.health().error == f"its process was ended by signal {bad_children.UNNAMED}"
    assert not bad_supervisor.failed
    assert worker.stop(5.0)


@pytest.mark.parametrize("name", ["no picture", "half a picture", "a picture too large"])
def test_what_is_no_picture_is_no_snapshot(
    bad_supervisor: Supervisor, until: Until, image_spec: Callable[..., ImageSpec], name: str
) -> None:
    worker = bad_camera(name, bad_supervisor, image_spec())
    sequence = take_next(worker, until).sequence
    assert worker.snapshot(sequence) is None
    assert known(worker.life).holds(sequence)  # it has answered, and runs
    worker.stop(5.0)


def test_pictures_that_come_at_once_all_come(
    bad_supervisor: Supervisor, until: Until, image_spec: Callable[..., ImageSpec]
) -> None:
    worker = bad_camera("a picture", bad_supervisor, image_spec())
    sequence = take_next(worker, until).sequence
    assert [worker.snapshot(sequence) for _ in range(20)] == [bad_children.JPEG] * 20
    worker.stop(5.0)


def test_a_process_that_answers_late_each_time_is_asked_less(
    bad_supervisor: Supervisor, until: Until, image_spec: Callable[..., ImageSpec]
) -> None:
    limits = ProcessLimits(answer_s=0.5)
    worker = bad_camera("a picture that comes late", bad_supervisor, image_spec(), limits)
    sequence = take_next(worker, until).sequence
    began = time.monotonic()
    for _ in range(10):
        worker.snapshot(sequence)
    assert 0.4 < time.monotonic() - began < 2.0  # of the four seconds that it wants
    worker.stop(5.0)


def test_a_sample_that_replaces_the_first_after_a_break_comes_after_it_as_well(
    bad_supervisor: Supervisor, until: Until, image_spec: Callable[..., ImageSpec]
) -> None:
    worker = bad_camera("a break", bad_supervisor, image_spec())
    until("both are there", lambda: worker.health().samples == 2)
    sample = known(worker.take())
    assert (sample.sequence, sample.after_break) == (1, True)
    assert worker.stop(5.0)


def test_an_end_that_a_process_wants_is_no_failure(
    bad_supervisor: Supervisor,
    until: Until,
    image_spec: Callable[..., ImageSpec],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "edge")
    ended = Semaphore(0)
    worker = bad_camera("makes room", bad_supervisor, image_spec(), wake=ended.release)
    seen = set()
    for _ in range(2):
        until("a process has ended", lambda: ended.acquire(blocking=False))
        seen.add((worker.health().state, worker.health().error))
    assert worker.stop(5.0)
    assert seen == {("retrying", "no data for 5 s")}
    assert caplog.records == []
    # Control: one that says nothing has failed.
    worker = bad_camera("just ends", bad_supervisor, image_spec())
    until("it has failed", lambda: worker.health().state == "failed")
    assert worker.health().error == "its process has ended"
    assert worker.stop(5.0)


def test_a_sample_that_is_stamped_ahead_has_arrived_by_now(
    bad_supervisor: Supervisor, until: Until, image_spec: Callable[..., ImageSpec]
) -> None:
    worker = bad_camera("stamps ahead", bad_supervisor, image_spec())
    arrival = take_next(worker, until).arrival
    assert arrival.monotonic <= time.monotonic()
    assert arrival.wall <= time.time()
    worker.stop(5.0)


def test_a_process_that_keeps_to_the_rules_is_not_ended(
    bad_supervisor: Supervisor, until: Until, image_spec: Callable[..., ImageSpec]
) -> None:
    config = CameraConfig.model_validate({"url": "rtsp://127.0.0.1/none"})
    worker = ProcessCamera(
        Beginning("keeps to the rules", config, image_spec(), None), lambda: None,
        bad_supervisor.attend, snapshots=SnapshotsConfig(), limits=ProcessLimits(records=100),
    )  # fmt: skip
    worker.start()
    until("it streams", lambda: worker.health().state == "streaming")
    process = process_of(worker)
    time.sleep(1.5)
    assert worker.health().state == "streaming"
    assert process_of(worker) == process
    worker.stop(5.0)


def test_every_bad_record_is_tried() -> None:
    assert len(bad_children.SENT) == 21


def test_a_camera_gets_no_variable_with_a_password_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register_secret("broker-pass-9")
    monkeypatch.setenv("MQTT_PASSWORD", "broker-pass-9")
    monkeypatch.setenv("OTHER", "no secret")
    given = environment()
    assert "MQTT_PASSWORD" not in given
    assert given["OTHER"] == "no secret"


def test_signals_of_a_terminal_end_no_camera(
    camera: TestCamera, watch: Callable[..., ProcessCamera], until: Until
) -> None:
    worker = watch(camera.url("yard"), timeout=5.0)
    take_next(worker, until)
    process = process_of(worker)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        os.kill(process, number)
    more = worker.health().samples + 3
    until("more samples", lambda: worker.health().samples >= more)
    assert process_of(worker) == process


def test_the_log_of_a_process_is_the_daemons_own(
    camera: TestCamera,
    watch: Callable[..., ProcessCamera],
    until: Until,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "edge")
    take_next(watch(camera.url("yard"), timeout=5.0), until)
    (record,) = [one for one in caplog.records if "streaming" in one.getMessage()]
    assert (record.name, record.levelname) == ("edge.video.camera", "INFO")
    assert record.__dict__["camera"] == "yard"
    assert record.process == os.getpid()


PROGRAM = """
import os, sys, time
from edge.config.models import CameraConfig, SnapshotsConfig
from edge.model.bundle.manifest import ImageSpec
from edge.video.process.beginning import Beginning
from edge.video.process.camera import ProcessCamera
from edge.video.process.supervisor import Supervisor
assert "av" not in sys.modules
spec = ImageSpec(height=32, width=32, resize="stretch", interpolation="area",
                 mean=(0, 0, 0), std=(1, 1, 1))
config = CameraConfig(url=sys.argv[1], timeout=60)
supervisor = Supervisor()
supervisor.start()
workers = [ProcessCamera(Beginning(f"c{i}", config, spec, None), lambda: None, supervisor.attend,
                         snapshots=SnapshotsConfig()) for i in range(10)]
for worker in workers:
    worker.start()
while not all(one.life and one.life.process and one.life.step == "connect" for one in workers):
    time.sleep(0.01)
print(*(one.life.process for one in workers), flush=True)
sys.stdin.readline()
began = time.monotonic()
for worker in workers:
    worker.stop(0.0)
supervisor.stop(5.0)
print(time.monotonic() - began)
"""


@pytest.fixture
def hanging(camera: TestCamera) -> Iterator[tuple["subprocess.Popen[str]", list[int]]]:
    """A daemon with ten cameras that hang, and the ids of their processes."""
    camera.faults.blackhole = True
    daemon = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM, camera.url("yard")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with daemon:
        assert daemon.stdout is not None
        yield daemon, [int(word) for word in daemon.stdout.readline().split()]
        daemon.kill()


def test_ten_cameras_that_hang_end_at_once(
    hanging: tuple["subprocess.Popen[str]", list[int]], until: Until
) -> None:
    daemon, processes = hanging
    assert len(processes) == 10
    said, errors = daemon.communicate("\n", timeout=30)
    assert float(said) < 2.0
    assert errors == ""
    assert daemon.returncode == 0
    until("they have ended", lambda: not any(map(is_there, processes)), 5.0)


def test_no_camera_outlives_a_daemon_that_is_killed(
    hanging: tuple["subprocess.Popen[str]", list[int]], until: Until
) -> None:
    daemon, processes = hanging
    assert all(map(is_there, processes))
    daemon.kill()
    until("they have ended", lambda: not any(map(is_there, processes)), 5.0)


def test_a_daemon_that_stood_still_takes_no_camera_for_silent(
    camera: TestCamera, watch: Callable[..., ProcessCamera], until: Until
) -> None:
    worker = watch(camera.url("yard"), timeout=5.0)
    take_next(worker, until)
    life = known(worker.life)
    process = life.process
    worker.look(0.5)
    threading.Event().wait(0.2)
    assert life.silent_s < 0.5  # the next record has ended the silence
    assert process_of(worker) == process
