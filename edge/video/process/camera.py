"""A camera in a process of its own: what the daemon's threads see of it."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.config.models import SnapshotsConfig
from edge.model.bundle.manifest import ImageSpec
from edge.video.process.account import HealthAccount
from edge.video.process.asking import AskingTime
from edge.video.process.beginning import Beginning
from edge.video.process.fate import Fate
from edge.video.process.life import Life, MisbehavedError
from edge.video.process.limits import LIMITS, ProcessLimits
from edge.video.process.logged import write
from edge.video.process.memory import Layout
from edge.video.process.records import (
    Answered,
    EndOrder,
    GivenBack,
    Healthy,
    Logged,
    Question,
    Renewal,
    Sampled,
)
from edge.video.sample import Arrival, Sample
from edge.video.scheme import is_live
from edge.video.worker import CameraHealth, Edges, State

logger = logging.getLogger(__name__)

_OVER: Final = ("stopped", "ended")
_JPEG_BEGIN: Final = b"\xff\xd8"
_JPEG_END: Final = b"\xff\xd9"
# A picture of noise takes about one, and is rarely twice as high as wide.
_JPEG_PIXEL_BYTES: Final = 3


@dataclass(frozen=True, slots=True)
class _Ready:
    """A sample, and the process that keeps its frame."""

    sample: Sample
    slot: int
    life: Life


class ProcessCamera:
    """``CameraWorker`` that samples a camera in a process of its own.

    A process that hangs, dies, grows or sends what it must not is ended and begun again. The pixels
    of a sample lie in memory that is shared with it; a process that dies takes none of it along.

    Args:
        beginning: What its processes are given.
        wake: Called when there is a new sample, and when the camera has ended.
        attend: Asks the supervisor to look at the camera.
        snapshots: Settings of the pictures.
        limits: What a process may take before it is ended.

    Attributes:
        name: Name of the camera in the configuration.
        failed: Never: the supervisor begins it again.
    """

    failed = False

    def __init__(
        self,
        beginning: Beginning,
        wake: Callable[[], None],
        attend: Callable[["ProcessCamera"], None],
        *,
        snapshots: SnapshotsConfig,
        limits: ProcessLimits = LIMITS,
    ) -> None:
        self.name = beginning.name
        self._beginning = beginning
        self._wake = wake
        self._attend = attend
        self._limits = limits
        self._layout = Layout(beginning.image, beginning.clip)
        self._snapshots = snapshots
        live = is_live(beginning.config.url.get_secret_value())
        rng = Random()  # noqa: S311  jitter, no secret
        self._live = live
        self._fate = Fate(beginning.config, live=live, limits=limits, rng=rng)
        self._log = logging.LoggerAdapter(logger, {"camera": self.name})
        self._over = threading.Event()
        self._over.set()
        self._asking = threading.Lock()  # one question at a time
        self._asking_time = AskingTime(limits.answer_s, limits.asking_share)
        self._changed = threading.Condition()  # guards all fields below
        self._life: Life | None = None
        self._account = HealthAccount(beginning.before)
        self._next: _Ready | None = None
        self._taken: _Ready | None = None
        self._number = 0
        self._answer: Answered | None = None
        self._stop_at: float | None = None  # when it was asked to end
        self._quiet_at: float | None = None  # when its loop had ended
        self._again_at = 0.0

    # What the daemon's threads call.

    def start(self) -> None:
        self._over.clear()
        self._attend(self)

    def take(self) -> Sample | None:
        with self._changed:
            ready, self._next = self._next, None
            if ready is None:
                return None
            if self._taken is not None:
                self._give_back(self._taken)
            self._taken = ready
            return ready.sample

    def health(self) -> CameraHealth:
        with self._changed:
            return self._account.health

    def snapshot(self, sequence: int, max_width: int | None = None) -> bytes | None:
        if not self._snapshots.publish:
            return None
        width = max_width or self._snapshots.max_width
        answer = self._ask(sequence, jpeg_width=width)
        if answer is None or answer.size > _JPEG_PIXEL_BYTES * width**2:
            return None
        data = answer.tobytes()
        whole = data.startswith(_JPEG_BEGIN) and data.endswith(_JPEG_END)
        return data if whole else None

    def pixels(
        self, sequence: int, spec: ImageSpec, box: Edges | None = None
    ) -> NDArray[np.int8] | None:
        answer = self._ask(sequence, spec=spec, box=box)
        shape = (3, spec.height, spec.width)
        if answer is None or answer.size != np.prod(shape):
            return None
        return answer.view(np.int8).reshape(shape)

    def stop(self, timeout_s: float) -> bool:
        with self._changed:
            if self._stop_at is None:
                self._stop_at = time.monotonic()
                if self._life is not None:
                    self._life.order(EndOrder())
        self._attend(self)
        return self._over.wait(timeout_s)

    # What the supervisor's thread calls.

    @property
    def over(self) -> bool:
        """Whether it has ended, and no process of it is left."""
        return self._life is None and self._over.is_set()

    @property
    def life(self) -> Life | None:
        """The process that runs, or is being made."""
        return self._life

    def is_due(self, now: float) -> bool:
        """Whether a process is to be made."""
        with self._changed:
            if self._life is None and self._stop_at is not None:
                self._conclude("stopped")
            return self._life is None and not self._over.is_set() and now >= self._again_at

    def begin(self, number: int) -> Life | None:
        """Prepare a process, by the number that the server will know it by.

        Returns:
            None where the kernel gives no memory or no socket: it is tried again later.
        """
        with self._changed:
            beginning = replace(
                self._beginning,
                before=self._account.told,
                level=logging.getLogger("edge").getEffectiveLevel(),
            )
            try:
                self._life = Life(number, beginning, self._layout, self._limits)
            except OSError as exc:
                self._fail(f"its process cannot begin: {exc.strerror}", 0.0, 0)
            return self._life

    def refuse(self, reason: str) -> None:
        """Say why no process can be made for it; one that has failed says what it says."""
        with self._changed:
            if self._account.trouble is None:
                self._fail(f"its process cannot begin: {reason}", 0.0, 0)

    def receive(self) -> None:
        """Take what its process has sent."""
        said: list[Logged] = []
        wake = False
        with self._changed:
            life = self._life
            if life is None:
                return
            try:
                for record in life.told():
                    if isinstance(record, Logged):
                        said.append(record)
                    else:
                        wake |= self._heed(life, record)
            except MisbehavedError as exc:
                self._doom(life, f"sent {exc}")
            if life.gone:
                self._changed.notify_all()
        for logged in said:
            write(logged, self.name)
        if wake:
            self._wake()

    def look(self, round_s: float) -> None:
        """Judge its process; end it where it has gone wrong.

        Args:
            round_s: Seconds since the last look, as far as the supervisor is not late.
        """
        now = time.monotonic()
        with self._changed:
            life = self._life
            if life is None or not life.forked_at:
                return
            life.wait(round_s)
            if life.doomed_at is not None:
                return
            if life.gone:
                self._doom(life, None)
                return
            if self._quiet_at is not None and self._stop_at is not None:
                if now - self._quiet_at > self._limits.linger_s:
                    self._doom(life, None)
                return
            if self._stop_at is not None and now - self._stop_at > self._limits.parting_s:
                self._doom(life, None)
                return
            wrong = self._fate.wrong(
                life.step, life.step_s + life.silent_s, life.silent_s, life.memory_bytes,
                life.threads,
            )  # fmt: skip
            if wrong is not None:
                self._doom(life, wrong)

    def ended(self, words: str) -> None:
        """Take note that its process has ended.

        Args:
            words: How it ended.
        """
        self.receive()  # what it sent before
        with self._changed:
            life = self._life
            if life is None:
                return
            self._life = None
            life.close()
            self._changed.notify_all()
            if self._stop_at is not None:
                self._conclude("stopped")
            elif self._quiet_at is not None:
                self._over.set()  # a file that has ended, and nobody asked for more
            elif life.renews and life.wrong is None:
                self._account.parted()
                self._wait(time.monotonic() - life.forked_at, life.samples)
            else:
                reason = words if life.wrong is None else f"its process {life.wrong}"
                self._fail(reason, time.monotonic() - life.forked_at, life.samples)
        self._wake()

    def _heed(self, life: Life, record: Sampled | Healthy | Renewal | Answered) -> bool:
        """Take a record; return whether the loop is to be woken."""
        match record:
            case Sampled():
                self._offer(life, record)
                return True
            case Healthy():
                return self._note(life, record)
            case Renewal():
                life.renews = True
                return False
            case Answered():
                self._answer = record
                self._changed.notify_all()
                return False

    def _offer(self, life: Life, record: Sampled) -> None:
        space = life.memory.slots[record.slot]
        arrived = life.arrival_of(record)
        wall = time.time() - (time.monotonic() - arrived)
        arrival = Arrival(wall, arrived, record.pts_s)
        sample = Sample(
            self.name, record.sequence, arrival, space.pixels, (record.height, record.width),
            space.clip_pixels, record.heartbeat, record.after_break,
        )  # fmt: skip
        if self._next is not None:
            after_break = sample.after_break or self._next.sample.after_break
            sample = replace(sample, after_break=after_break)
            self._account.replaced += 1
            self._give_back(self._next)
        self._next = _Ready(sample, record.slot, life)
        self._account.sampled(sample)

    def _note(self, life: Life, record: Healthy) -> bool:
        """Take over the health; return whether the camera has just ended.

        Raises:
            MisbehavedError: It says that it has ended, which only a recording does unasked.
        """
        allowed = _OVER if self._stop_at is not None else () if self._live else ("ended",)
        if record.state in _OVER and record.state not in allowed:
            raise MisbehavedError("an end that nobody asked for")
        life.step, life.step_s = record.step, record.step_s
        self._account.heard(record)
        if record.state in _OVER and self._quiet_at is None:
            self._quiet_at = time.monotonic()
            self._over.set()
            return True
        return False

    def _give_back(self, ready: _Ready) -> None:
        if ready.life is self._life:
            ready.life.give_back(ready.slot)
            ready.life.order(GivenBack(slot=ready.slot))

    def _doom(self, life: Life, wrong: str | None) -> None:
        life.wrong = life.wrong or wrong
        life.kill()

    def _conclude(self, state: State) -> None:
        self._account.ended(state)
        self._over.set()

    def _fail(self, reason: str, lived_s: float, samples: int) -> None:
        delay_s = self._wait(lived_s, samples)
        level = logging.ERROR if self._account.failed(reason) else logging.DEBUG
        message = "camera %s: %s; next try in %.1f s"
        self._log.log(level, message, self.name, reason, delay_s)

    def _wait(self, lived_s: float, samples: int) -> float:
        """Let the next process wait; return for how many seconds."""
        delay_s = self._fate.delay_s(lived_s, samples)
        self._again_at = time.monotonic() + delay_s
        return delay_s

    def _ask(self, sequence: int, **what: object) -> NDArray[np.uint8] | None:
        """Ask the process about a sample's frame; None where it is gone, or no answer comes."""
        with self._asking, self._changed:
            life = self._life
            if life is None or life.gone or not life.holds(sequence):
                return None
            if not self._asking_time.left:
                return None
            self._number += 1
            number = self._number
            question = Question.model_validate({"number": number, "sequence": sequence} | what)
            if not life.ask(question):  # it owes an answer that came too late
                return None

            def settled() -> bool:
                answered = self._answer is not None and self._answer.number == number
                return answered or life.gone or self._life is not life

            asked_at = time.monotonic()
            self._changed.wait_for(settled, self._limits.answer_s)
            self._asking_time.took(time.monotonic() - asked_at)
            answer = self._answer
            if answer is None or answer.number != number or answer.size is None:
                return None
            return life.answer(answer.size)
