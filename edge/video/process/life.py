"""One process of a camera as the daemon sees it, from its fork to its end.

Everything that comes from it is checked here: what it may not send ends it.
"""

import os
import pickle
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.video.process.beginning import Beginning
from edge.video.process.limits import ProcessLimits
from edge.video.process.memory import SLOTS, Layout, SharedMemory
from edge.video.process.records import (
    MOST_BYTES,
    Answered,
    Healthy,
    Logged,
    Order,
    Question,
    Sampled,
    Told,
    read_told,
    send,
)
from edge.video.process.starving import ProcessTime
from edge.video.worker import Step

_PAGE: Final = os.sysconf("SC_PAGESIZE")
# Records that are read in one go, so that no camera keeps the others waiting.
_AT_ONCE: Final = 64
# An arrival may lie this far ahead of the daemon's clock, which is the same one.
_AHEAD_S: Final = 1.0
# No camera counts faster: packets, samples. A count that jumps would have none left for the next
# process, which goes on from it.
_MOST_A_SECOND: Final = 1_000_000


class MisbehavedError(Exception):
    """A camera's process sent what it must not send."""


@dataclass(slots=True)
class _Handle:
    """The process itself, once it is forked."""

    process: int
    fd: int


class Life:
    """One process of a camera.

    Args:
        number: Number by which the server knows it.
        beginning: What the process is given.
        layout: Memory that it shares with the daemon.
        limits: What it may take.

    Attributes:
        number: Number by which the server knows it.
        memory: Memory that it shares with the daemon.
        channel: The daemon's end of the connection.
        forked_at: ``time.monotonic()`` of its fork; 0 before.
        doomed_at: ``time.monotonic()`` at which it was ended by force; None before.
        wrong: What was wrong with it then; None where nothing was.
        step: What its loop did last.
        step_s: Seconds for which it had done that.
        silent_s: Seconds without a record in which it could have sent one.
        renews: Whether it has said that it ends so that a new one begins.
        gone: Whether its end of the connection is closed.
        samples: Number of samples so far.

    Raises:
        OSError: The kernel gives no memory or no socket.
    """

    def __init__(
        self, number: int, beginning: Beginning, layout: Layout, limits: ProcessLimits
    ) -> None:
        self.number: Final = number
        self._limits = limits
        self._born = time.monotonic()
        with ExitStack() as held:
            self._memory_fd = layout.create()
            held.callback(os.close, self._memory_fd)
            self.memory: SharedMemory = layout.map(self._memory_fd, writable=False)
            self.channel, self._child_end = socket.socketpair(
                socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC
            )
            for end in (self._child_end, self.channel):
                held.callback(end.close)
            self.channel.setblocking(False)
            self.channel.send(pickle.dumps(beginning))
            held.pop_all()
            self._to_hand_over = ExitStack()  # what is the process's alone
            self._to_hand_over.callback(os.close, self._memory_fd)
            self._to_hand_over.callback(self._child_end.close)
        self._handle: _Handle | None = None
        self._time: ProcessTime | None = None
        self.forked_at = 0.0
        self.doomed_at: float | None = None
        self.wrong: str | None = None
        self.step: Step = "begin"
        self.step_s = 0.0
        self.silent_s = 0.0
        self.renews = False
        self.gone = False
        self.samples = 0
        self._held: dict[int, int] = {}  # slot -> sequence
        self._before = beginning.before
        self._last_sequence = beginning.before.samples - 1
        self._last_arrival = self._born
        self._second, self._records = 0, 0
        self._ten_seconds, self._lines = 0, 0
        self._answer_owed: int | None = None

    def hand_over(self, server: socket.socket) -> None:
        """Ask the server for the process.

        Raises:
            OSError: The server is gone.
        """
        fds = [self._child_end.fileno(), self._memory_fd]
        with self._to_hand_over:
            socket.send_fds(server, [str(self.number).encode()], fds)

    def forked(self, process: int, fd: int) -> None:
        """Take note of the process."""
        self._handle = _Handle(process, fd)
        self.forked_at = time.monotonic()
        if self.doomed_at is not None:
            self.kill()

    def wait(self, round_s: float) -> None:
        """Take note that ``round_s`` seconds have passed; a record ends the silence.

        Silence of a process that waits for a processor is the machine's. To know that costs some
        reading, so the first half of the time that it may be silent counts in any case.
        """
        if self._time is not None and self.silent_s > self._limits.silence_s / 2:
            round_s = self._time.usable_s(round_s)
        elif self._handle is not None:
            self._time = ProcessTime(self._handle.process)
        self.silent_s += round_s

    def kill(self) -> None:
        """End the process at once; one that is not there yet as soon as it is."""
        self.doomed_at = self.doomed_at or time.monotonic()
        if self._handle is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle.fd, signal.SIGKILL)

    def is_lost(self, after_s: float) -> bool:
        """Whether it was ended by force so long ago that nobody will say so any more."""
        if self.doomed_at is None or not self.forked_at:
            return False
        return time.monotonic() - self.doomed_at > after_s

    def take_handle(self) -> int | None:
        """Return the descriptor of the process, which is the caller's now; None where none is."""
        handle, self._handle = self._handle, None
        return None if handle is None else handle.fd

    def close(self) -> None:
        """Let go of the process; without its daemon it ends."""
        self._to_hand_over.close()
        self.channel.close()
        if self._handle is not None:
            os.close(self._handle.fd)
            self._handle = None

    def order(self, order: Order) -> bool:
        """Send an order; return whether the process has room for it.

        One that has none is silent, and ended for that.
        """
        try:
            return send(self.channel, order)
        except OSError:
            return False

    def told(self) -> Iterator[Told]:
        """Yield what the process has sent, checked.

        Raises:
            MisbehavedError: It sent what it must not send.
        """
        for _ in range(_AT_ONCE):
            try:
                data, _, flags, _ = self.channel.recvmsg(MOST_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data, flags = b"", 0
            if not data:
                self.gone = True
                return
            self._count()
            if flags & socket.MSG_TRUNC:
                raise MisbehavedError("a record that is too long")
            try:
                record = read_told(data)
            except ValueError as exc:
                raise MisbehavedError("what is no record") from exc
            self._check(record)
            self.silent_s = 0.0
            yield record

    def holds(self, sequence: int) -> bool:
        """Whether the process still has the frame of a sample."""
        return sequence in self._held.values()

    def give_back(self, slot: int) -> None:
        """Take note that a slot is the process's again."""
        self._held.pop(slot, None)

    def ask(self, question: Question) -> bool:
        """Ask a question; return whether there is room for it, and for the answer."""
        if self._answer_owed is not None or not self.order(question):
            return False
        self._answer_owed = question.number
        return True

    def arrival_of(self, record: Sampled) -> float:
        """Return the arrival of a sample, monotonic seconds: not ahead, and in order.

        Of pictures that the stream reorders, a later one may have arrived before an earlier one.
        """
        self._last_arrival = min(max(record.monotonic, self._last_arrival), time.monotonic())
        return self._last_arrival

    def answer(self, size: int) -> NDArray[np.uint8]:
        """Return a copy of the answer."""
        return self.memory.answer[:size].copy()

    @property
    def process(self) -> int | None:
        """Id of the process; None while it is not there."""
        return None if self._handle is None else self._handle.process

    @property
    def memory_bytes(self) -> int:
        """Memory that the process has for itself; 0 where nobody knows."""
        if self._handle is None:
            return 0
        try:
            pages = Path(f"/proc/{self._handle.process}/statm").read_text(encoding="ascii").split()
        except OSError:
            return 0
        return (int(pages[1]) - int(pages[2])) * _PAGE

    @property
    def threads(self) -> int:
        """Threads that the process has; 0 where nobody knows."""
        if self._handle is None:
            return 0
        try:  # a folder has a link for each folder in it, and two
            return Path(f"/proc/{self._handle.process}/task").stat().st_nlink - 2
        except OSError:
            return 0

    def _count(self) -> None:
        second = int(time.monotonic())
        self._records = self._records + 1 if second == self._second else 1
        self._second = second
        if self._records > self._limits.records:
            raise MisbehavedError(f"more than {self._limits.records} records in a second")

    def _check(self, record: Told) -> None:
        match record:
            case Sampled():
                sound = (
                    record.slot < SLOTS
                    and record.slot not in self._held
                    and self._last_sequence < record.sequence < self._most(self._before.samples)
                    and self._born <= record.monotonic <= time.monotonic() + _AHEAD_S
                )
                if not sound:
                    raise MisbehavedError("a sample that cannot be")
                self._held[record.slot] = self._last_sequence = record.sequence
                self.samples += 1
            case Healthy():
                if not self._can_be(record):
                    raise MisbehavedError("health that cannot be")
            case Answered():
                if record.number != self._answer_owed or (
                    record.size is not None and record.size > self.memory.answer.size
                ):
                    raise MisbehavedError("an answer that nobody asked for")
                self._answer_owed = None
            case Logged():
                ten_seconds = int(time.monotonic() / 10)
                self._lines = self._lines + 1 if ten_seconds == self._ten_seconds else 1
                self._ten_seconds = ten_seconds
                if self._lines > self._limits.lines:
                    raise MisbehavedError(f"more than {self._limits.lines} lines for the log")

    def _can_be(self, told: Healthy) -> bool:
        """Whether a process of this age may have such a health."""
        before, lived_s = self._before, time.monotonic() - self._born
        counts = (
            (before.samples, told.samples),
            (before.dropped, told.dropped),
            (before.corrupt, told.corrupt),
            (before.reconnects, told.reconnects),
        )
        return (told.arrived_s or 0.0) <= lived_s and all(
            begin <= count < self._most(begin) for begin, count in counts
        )

    def _most(self, begin: int) -> int:
        """What a count cannot have reached by now that began at ``begin``."""
        return begin + round(_MOST_A_SECOND * (1 + time.monotonic() - self._born))
