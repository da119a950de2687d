"""Supervises the processes of all cameras, in one thread of the daemon.

It reads what they send, ends those that hang, die, grow or send what they must not, and begins them
again. Each camera has its own fate: what one does costs no other one anything.

Silence is counted by the supervisor's own rounds, so a supervisor that comes late, because the
machine stood still, takes no camera for silent.
"""

import os
import selectors
import threading
import time
from contextlib import closing
from itertools import count
from typing import Final

from edge.system.pulse import Pulse
from edge.system.wake import SocketWake
from edge.system.workers import WorkerThread
from edge.video.process.camera import ProcessCamera
from edge.video.process.life import Life
from edge.video.process.nursery import Nursery, ProcessEnded
from edge.video.process.remains import Remains

CHILD: Final = "edge.video.process.child"
"""What runs in the process of a camera. The daemon itself never imports it."""
# Longest time between two looks at each camera.
_ROUND_S: Final = 0.25
# A round that came later than this counts as this long.
_LONGEST_ROUND_S: Final = 0.5
# No turn takes this long, or else the thread hangs.
_LONGEST_TURN_S: Final = 10.0
# Seconds after which a process that was ended counts as gone, whether or not anybody has said so.
_LOST_S: Final = 2.0


class Supervisor:
    """Owner of the processes of the cameras.

    Args:
        round_s: Seconds between two looks at each camera.
        child: Module whose ``run`` runs in each process.
    """

    def __init__(self, round_s: float = _ROUND_S, child: str = CHILD) -> None:
        self._round_s = round_s
        self._child = child
        self._lock = threading.Lock()
        self._cameras: list[ProcessCamera] = []
        self._lives: dict[int, ProcessCamera] = {}
        self._remains = Remains()
        self._numbers = count(1)
        self._wake: SocketWake | None = None  # while the thread runs
        self._stopping = threading.Event()
        self._looked_at = 0.0
        self.pulse = Pulse(_LONGEST_TURN_S)
        self._thread = WorkerThread("cameras", self._run)

    @property
    def failed(self) -> bool:
        """Whether an error that nobody expected has ended the thread."""
        return self._thread.failed

    def start(self) -> None:
        """Begin, or begin again after a failure."""
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """End all processes and the thread; return whether they have ended."""
        self._stopping.set()
        self._awake()
        return self._thread.join(timeout_s)

    def attend(self, camera: ProcessCamera) -> None:
        """Look after a camera from now on; may be called from any thread, and again."""
        with self._lock:
            if camera not in self._cameras:
                self._cameras.append(camera)
        self._awake()

    def _awake(self) -> None:
        with self._lock:
            if self._wake is not None:
                self._wake.set()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector, closing(SocketWake()) as wake:
            with self._lock:
                self._wake = wake
            selector.register(wake, selectors.EVENT_READ, wake)
            nursery = Nursery(selector, self._child)
            self._looked_at = time.monotonic()
            try:
                while not self._stopping.is_set():
                    self.pulse.beat()
                    self._turn(selector, nursery)
            finally:
                self.pulse.rest()
                for number in list(self._lives):
                    self._part(selector, number, "its supervisor has ended")
                nursery.close()
                with self._lock:
                    self._wake = None

    def _turn(self, selector: selectors.BaseSelector, nursery: Nursery) -> None:
        """Wait for what comes, until the next round at the latest."""
        until_round = self._looked_at + self._round_s - time.monotonic()
        for key, _ in selector.select(max(0.0, until_round)):
            match key.data:
                case ProcessCamera() as camera:
                    self._receive(selector, camera)
                case Nursery():
                    self._hear(selector, nursery)
                case SocketWake() as wake:
                    wake.clear()
        round_s = time.monotonic() - self._looked_at
        if round_s >= self._round_s:
            self._looked_at += round_s
            self._look(selector, min(round_s, _LONGEST_ROUND_S))
        self._remains.clear_up()
        if self._cameras:
            self._begin_due(selector, nursery, served=nursery.keep())

    def _receive(self, selector: selectors.BaseSelector, camera: ProcessCamera) -> None:
        camera.receive()
        life = camera.life
        if life is not None and life.gone:
            selector.unregister(life.channel)
            camera.look(0.0)

    def _hear(self, selector: selectors.BaseSelector, nursery: Nursery) -> None:
        heard = nursery.heard()
        if heard is None:
            for number in list(self._lives):
                life = self._life(number)
                begun = life is not None and life.forked_at
                words = "has ended with its server" if begun else f"cannot begin: {nursery.trouble}"
                self._leave(selector, number, f"its process {words}")
            return
        for said in heard:
            if isinstance(said, ProcessEnded):
                self._part(selector, said.number, said.words)
                continue
            life = self._life(said.number)
            if life is None:
                os.close(said.fd)
            else:
                life.forked(said.process, said.fd)

    def _look(self, selector: selectors.BaseSelector, round_s: float) -> None:
        with self._lock:
            self._cameras = [camera for camera in self._cameras if not camera.over]
            cameras = list(self._cameras)
        for camera in cameras:
            camera.look(round_s)
            life = camera.life
            if life is not None and life.is_lost(_LOST_S):
                self._leave(selector, life.number, "its process cannot be ended")

    def _begin_due(
        self, selector: selectors.BaseSelector, nursery: Nursery, *, served: bool
    ) -> None:
        with self._lock:
            cameras = list(self._cameras)
        for camera in cameras:
            if not camera.is_due(time.monotonic()) or self._remains.has(camera.name):
                continue
            if not served:
                camera.refuse(nursery.trouble)
                continue
            life = camera.begin(next(self._numbers))
            if life is None:
                continue
            self._lives[life.number] = camera
            if nursery.ask(life):
                selector.register(life.channel, selectors.EVENT_READ, camera)
            else:
                self._part(selector, life.number, "its process cannot begin")

    def _life(self, number: int) -> Life | None:
        camera = self._lives.get(number)
        life = None if camera is None else camera.life
        return life if life is not None and life.number == number else None

    def _leave(self, selector: selectors.BaseSelector, number: int, words: str) -> None:
        """Let go of a process of which nobody says that it has ended."""
        life = self._life(number)
        if life is not None:
            life.kill()
            handle = life.take_handle()
            if handle is not None:
                self._remains.keep(self._lives[number].name, handle)
        self._part(selector, number, words)

    def _part(self, selector: selectors.BaseSelector, number: int, words: str) -> None:
        """Let go of a process that has ended."""
        life = self._life(number)
        camera = self._lives.pop(number, None)
        if camera is None or life is None:
            return
        if life.channel in selector.get_map():
            selector.unregister(life.channel)
        camera.ended(words)
