"""The thread of a camera's process that speaks with the daemon, in this process."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest
from patience import Until

from edge.config.models import CameraConfig
from edge.model.bundle.manifest import ImageSpec
from edge.video.hardware import FFmpegHardware
from edge.video.process import child
from edge.video.process.beginning import Beginning
from edge.video.process.memory import Layout
from edge.video.process.records import MOST_BYTES, Answered, Question, read_told, send


class LeftError(Exception):
    """The camera has ended."""


def attend(camera: child.Child) -> threading.Thread:
    """Run the thread."""

    def run() -> None:
        with suppress(LeftError):
            camera._attend()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


@dataclass
class Ends:
    """Both ends of the connection."""

    daemon: socket.socket
    child: socket.socket
    left: threading.Event


@pytest.fixture
def ends(
    image_spec: Callable[..., ImageSpec], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Ends, child.Child]]:
    left, spec = threading.Event(), image_spec()

    def leave() -> None:  # in place of the end of this process
        left.set()
        raise LeftError

    monkeypatch.setattr(child, "_leave", leave)
    config = CameraConfig.model_validate({"url": "rtsp://127.0.0.1/none", "timeout": 1.0})
    layout = Layout(spec, None)
    memory = layout.create()
    mapped = layout.map(memory, writable=True)
    os.close(memory)
    daemon, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with daemon, its:
        yield (
            Ends(daemon, its, left),
            child.Child(Beginning("yard", config, spec, None), its, mapped, FFmpegHardware()),
        )


def test_an_answer_without_room_is_sent_when_there_is_room(
    ends: tuple[Ends, child.Child], until: Until
) -> None:
    both, camera = ends
    filled = 0
    try:
        while True:
            both.child.send(b"x", socket.MSG_DONTWAIT)
            filled += 1
    except BlockingIOError:
        send(both.daemon, Question(number=1, sequence=5, jpeg_width=64))
    attendant = attend(camera)
    until("the question is read", lambda: camera._unsent is not None)
    for _ in range(filled):
        assert both.daemon.recv(MOST_BYTES) == b"x"
    both.daemon.settimeout(5.0)
    while not isinstance(read_told(both.daemon.recv(MOST_BYTES)), Answered):
        pass  # its health
    both.daemon.close()
    attendant.join(5.0)
    assert both.left.is_set()


def test_a_daemon_that_ends_with_unread_records_ends_the_camera(
    ends: tuple[Ends, child.Child],
) -> None:
    both, camera = ends
    both.child.send(b"never read")
    both.daemon.close()
    attendant = attend(camera)
    attendant.join(5.0)
    assert both.left.is_set()


def test_a_camera_whose_device_is_spent_says_that_it_makes_room(
    ends: tuple[Ends, child.Child],
) -> None:
    both, camera = ends
    camera._hardware.spent = True
    with pytest.raises(LeftError):
        camera._loop._set("retrying", "no data for 5 s")
    both.daemon.settimeout(5.0)
    told = [read_told(both.daemon.recv(MOST_BYTES)) for _ in range(2)]
    assert [one.kind for one in told] == ["health", "renewal"]
    assert both.left.is_set()
