"""Runs in the process of one camera: its loop, and a thread that speaks with the daemon.

The process ends with the daemon's end of the channel. Signals that a terminal or systemd sends to
all processes of the daemon end none of them: the daemon ends first, and in order.
"""

import logging
import os
import pickle
import select
import socket
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NoReturn

from edge.errors import SourceError
from edge.system.sandbox.confine import Bounds, confine
from edge.system.sandbox.reading import replaced
from edge.video.camera import CameraLoop
from edge.video.decode import Frame
from edge.video.hardware import FFmpegHardware
from edge.video.process.answers import FrameAnswers
from edge.video.process.beginning import MOST_BYTES as MOST_BEGINNING
from edge.video.process.beginning import Beginning
from edge.video.process.memory import Layout, SharedMemory
from edge.video.process.preload import preload
from edge.video.process.records import (
    MOST_BYTES,
    Answered,
    EndOrder,
    GivenBack,
    Healthy,
    Logged,
    Question,
    Renewal,
    Sampled,
    Told,
    read_order,
    send,
)
from edge.video.sample import Sample
from edge.video.scheme import is_live
from edge.video.sources.file import path_of
from edge.video.space import Space

logger = logging.getLogger(__name__)

# Address space for FFmpeg's frames of the largest picture, and for threads; open files.
_BOUNDS: Final = Bounds(memory=1024 * 1024 * 1024, files=64)
_HEALTH_S: Final = 1.0  # between two records of the health, at most
# Records of the log in ten seconds; what is more is left out.
_LOGGED, _LOGGED_S = 50, 10.0


def prepare() -> None:
    """Load what all processes share, before they are forked."""
    preload()


def run(channel: socket.socket, memory: int) -> None:
    """Run a camera; the first packet of ``channel`` says which. Returns when it is asked to end."""
    beginning = pickle.loads(channel.recv(MOST_BEGINNING))  # noqa: S301  of the daemon itself
    assert isinstance(beginning, Beginning)  # noqa: S101
    shared = Layout(beginning.image, beginning.clip).map(memory, writable=True)
    os.close(memory)
    _log_to(channel, beginning.level)
    url = beginning.config.url.get_secret_value()
    hardware = FFmpegHardware()
    hardware.make_ready(beginning.config.decode)  # in the sandbox no device can be opened
    barriers = confine(_BOUNDS, () if is_live(url) else _folders(url))
    for barrier in barriers:
        if barrier.lacking:
            # An older kernel that closes less is no news; one that closes nothing is.
            level = logging.DEBUG if barrier.found else logging.WARNING
            logger.log(level, "sandbox: %s: %s", barrier.name, barrier.lacking)
    Child(beginning, channel, shared, hardware).run()


class Child:
    """A camera's process.

    Args:
        beginning: What it is given.
        channel: Connection with the daemon.
        memory: Memory that it shares with the daemon.
        hardware: Devices that may decode.
    """

    def __init__(
        self,
        beginning: Beginning,
        channel: socket.socket,
        memory: SharedMemory,
        hardware: FFmpegHardware,
    ) -> None:
        self._hardware = hardware
        self._channel = channel
        self._memory = memory
        self._lock = threading.Lock()  # guards the slots
        self._free = list(reversed(range(len(memory.slots))))
        self._held: dict[int, tuple[int, Frame]] = {}  # slot -> sequence, frame
        self._answers = FrameAnswers(memory.answer)
        self._unsent: Answered | None = None  # the daemon asks nothing else until it has it
        self._loop = CameraLoop(
            beginning.name,
            beginning.config,
            beginning.image,
            self,
            beginning.phase,
            clip_spec=beginning.clip,
            spans=beginning.spans,
            before=beginning.before,
            hardware=hardware,
        )
        self._period_s = min(_HEALTH_S, beginning.config.timeout / 5)

    def run(self) -> None:
        """Sample until the end; then hold the last frames until the daemon is gone."""
        attendant = threading.Thread(target=self._attend, name="channel", daemon=True)
        attendant.start()
        self._loop.run()
        attendant.join()

    def space(self) -> Space | None:
        with self._lock:
            return self._memory.slots[self._free[-1]] if self._free else None

    def offer(self, sample: Sample, frame: Frame) -> None:
        with self._lock:
            slot = self._free.pop()
            self._held[slot] = sample.sequence, frame
        height, width = sample.size or (frame.picture.height, frame.picture.width)
        arrival = sample.arrival
        told = Sampled(
            slot=slot, sequence=sample.sequence, monotonic=arrival.monotonic,
            pts_s=arrival.pts_s, height=height, width=width, heartbeat=sample.heartbeat,
            after_break=sample.after_break,
        )  # fmt: skip
        if not self._tell(told):
            self._give_back(slot)

    def changed(self) -> None:
        self._say_how_it_does()
        if self._loop.health().state != "retrying":
            return
        if replaced():
            self._make_room("the files that resolve names are new ones: a new process reads them")
        if self._hardware.spent:
            self._make_room("a new process opens the device for the next connection")

    def _make_room(self, why: str) -> NoReturn:
        logger.info(why)
        self._tell(Renewal())
        _leave()

    def _attend(self) -> None:
        """Carry out what the daemon wants, and say at times how the camera does."""
        self._channel.setblocking(False)  # with a timeout, sending would wait for it as well
        heard = select.poll()
        heard.register(self._channel, select.POLLIN)
        next_health = 0.0
        while True:
            if self._unsent is not None and self._tell(self._unsent):
                self._unsent = None
            if time.monotonic() >= next_health:
                self._say_how_it_does()
                next_health = time.monotonic() + self._period_s
            if not heard.poll(1000 * self._period_s):
                continue
            try:
                data = self._channel.recv(MOST_BYTES)
            except OSError:  # it has ended, with records of ours that it never read
                _leave()
            if not data:
                _leave()
            match read_order(data):
                case GivenBack(slot=slot):
                    self._give_back(slot)
                case Question() as question:
                    size = self._answers.write(question, self._frame(question.sequence))
                    self._unsent = Answered(number=question.number, size=size)
                case EndOrder():
                    self._loop.stop()

    def _frame(self, sequence: int) -> Frame | None:
        with self._lock:
            held = dict(self._held.values())
        return held.get(sequence)

    def _give_back(self, slot: int) -> None:
        with self._lock:
            if self._held.pop(slot, None) is not None:
                self._free.append(slot)

    def _say_how_it_does(self) -> None:
        step, since = self._loop.doing
        step_s = max(0.0, time.monotonic() - since)
        self._tell(Healthy.of(self._loop.health(), step, step_s, self._loop.silence_s()))

    def _tell(self, record: Told) -> bool:
        try:
            return send(self._channel, record)
        except OSError:
            _leave()


def _folders(url: str) -> Iterator[Path]:
    """Folders of a recording, which may be replaced by a new file of the same name."""
    try:
        path = path_of(url)
    except SourceError:  # its loop says so
        return
    for place in {path.absolute(), path.resolve()}:
        yield place if place.parent == place.parent.parent else place.parent


def _leave() -> NoReturn:
    """End the process at once."""
    os._exit(0)


class _ToDaemon(logging.Handler):
    """Sends the log to the daemon, which masks and writes it as its own."""

    def __init__(self, channel: socket.socket) -> None:
        super().__init__()
        self._channel = channel
        self._sent: deque[float] = deque()

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        while self._sent and self._sent[0] < now - _LOGGED_S:
            self._sent.popleft()
        if len(self._sent) >= _LOGGED:
            return
        self._sent.append(now)
        trace = None
        if record.exc_info:
            trace = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        try:
            send(
                self._channel,
                Logged.of(record.levelno, record.name, record.getMessage(), trace),
            )
        except (OSError, ValueError):
            self.handleError(record)


def _log_to(channel: socket.socket, level: int) -> None:
    logging.basicConfig(level=level, handlers=[_ToDaemon(channel)], force=True)
    logging.getLogger("libav").setLevel(logging.CRITICAL)  # our errors say what it says
