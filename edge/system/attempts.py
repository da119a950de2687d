"""Notes on disk what may end the process while it is tried, and sets aside what did so twice.

A native library that crashes, and the kernel that is out of memory, end the process without a word.
What did it would be tried again at the next start, and the box would never come up. So what is
about to be tried is written to a file before, and removed after. What a start finds there has ended
the process before it: another time, and it is set aside, with its name, and the rest goes on.

Several parts may be under way when the process ends. Each of them is a suspect then, and is tried
alone: only an end in which nothing else was under way proves anything.
"""

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.errors import StruckOut
from edge.system.atomic_file import followed

logger = logging.getLogger(__name__)

ATTEMPTS: Final = "attempts.json"
"""Name of the file in the daemon's ``state_dir``."""

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_DEATHS: Final = 2
# What is set aside is tried again after so long without an end; twice as long after each further
# one.
_REST_S: Final = 3600.0
_LONGEST_REST_S: Final = 24 * _REST_S
# Longest wait for the other parts, and of the other parts, where a suspect must be alone.
_PATIENCE_S: Final = 30.0
# Suspects that are remembered.
_MOST: Final = 256


class _Page(BaseModel):
    """Content of the file.

    Attributes:
        process: Process that wrote it.
        under_way: Parts that it is trying.
        deaths: How often in a row the process has ended over a part.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_: Literal["edge-attempts/1"] = "edge-attempts/1"
    process: str = ""
    under_way: tuple[str, ...] = ()
    deaths: dict[str, int] = Field(default_factory=dict)


class Attempts:
    """What is being tried now, and what has ended the process before. Any thread may use it.

    A power cut or a restart of the machine blames nothing. So the file is not synchronised with the
    disk.

    Args:
        path: The file; None keeps nothing, outside of the daemon.
        patience_s: Longest wait until a suspect is alone, seconds.
        now: Monotonic seconds.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        patience_s: float = _PATIENCE_S,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = None if path is None else followed(path)
        self._patience_s = patience_s
        self._now = now
        self._since = now()
        self._changed = threading.Condition()  # of what follows
        self._trying: dict[int, list[str]] = {}  # by thread, the innermost last
        self._alone: int | None = None  # thread whose suspect must be alone
        self._deaths: dict[str, int] = {}
        self._survived: set[str] = set()
        self._over = False
        self._refused = False
        if self._path is not None:
            self._begin(self._path)

    @contextmanager
    def trying(self, part: str, facts: str, advice: str) -> Iterator[Callable[[], None]]:
        """Try something that may end the process; yield what to call once it is known to be well.

        The end of the block says the same. A part that was well once in this process is not noted
        again.

        Args:
            part: Name of what is tried.
            facts: Everything that decides how it goes: with other facts it is another part.
            advice: What to do so that it is tried again, as a command.

        Raises:
            StruckOut: The process has ended over it, twice in a row: it is not tried.
        """
        key = f"{part} {hashlib.sha256(facts.encode()).hexdigest()[:16]}"
        with self._changed:
            deaths = self._deaths.get(key, 0)
            if deaths >= _DEATHS and self._now() - self._since < _rest_s(deaths):
                raise StruckOut(
                    f"{part} is set aside: the daemon has ended over it {deaths} times in a row; to"
                    f" try again, {advice}, or remove {self._path} and restart"
                )
            noted = not self._over and self._path is not None and key not in self._survived
        if not noted:
            yield lambda: None
            return
        thread = threading.get_ident()
        self._add(thread, key, suspect=deaths > 0)
        well = False
        try:
            yield lambda: self._remove(thread, key, well=True)
            well = True
        finally:
            self._remove(thread, key, well=well)

    def forgive(self) -> None:
        """Blame nothing for the end of the process from now on: somebody has asked for it."""
        with self._changed:
            self._over = True
            self._trying.clear()
            self._write()
            self._changed.notify_all()

    def _begin(self, path: Path) -> None:
        """Read what the last process has left, and blame what it was trying."""
        page = _read(path)
        if _is_alive(page.process):
            logger.warning("%s: another process writes it; nothing is noted", path)
            self._path = None
            return
        self._deaths = dict(page.deaths)
        alone = len(page.under_way) == 1
        ended = page.under_way if _of_this_boot(page.process) else ()  # else the power was cut
        for key in ended:
            before = self._deaths.pop(key, 0)
            deaths = self._deaths[key] = before + 1 if alone else max(before, 1)
            what = "it is set aside" if deaths >= _DEATHS else "it is tried once more, alone"
            logger.error("the daemon has ended while it was trying %s: %s", _part(key), what)
        self._deaths = dict(list(self._deaths.items())[-_MOST:])
        if page.under_way:
            self._write()

    def _add(self, thread: int, key: str, *, suspect: bool) -> None:
        """Note that a thread begins with a part; first wait for the others where one is suspect."""

        def free() -> bool:
            others = any(other != thread for other in self._trying)
            waits = self._alone not in {None, thread} or (suspect and others)
            return self._over or not waits

        with self._changed:
            self._changed.wait_for(free, self._patience_s)
            if suspect and self._alone is None:
                self._alone = thread
            self._trying.setdefault(thread, []).append(key)
            self._write()

    def _remove(self, thread: int, key: str, *, well: bool) -> None:
        with self._changed:
            stack = self._trying.get(thread, [])
            if key not in stack:
                return  # it was well already, or the daemon ends
            stack.remove(key)
            if not stack:
                del self._trying[thread]
                self._alone = None if self._alone == thread else self._alone
            if well:
                self._deaths.pop(key, None)
            if key not in self._deaths:
                self._survived.add(key)
            self._write()
            self._changed.notify_all()

    def _write(self) -> None:
        """Replace the file; a disk that refuses it stops nothing that is tried."""
        if self._path is None:
            return
        page = _Page(
            process=_identity(os.getpid()),
            under_way=tuple(stack[-1] for stack in self._trying.values()),
            deaths=self._deaths,
        )
        new = self._path.with_name(f"{self._path.name}.new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(page.model_dump_json(indent=2))
            new.replace(self._path)
        except OSError as exc:
            if not self._refused:
                logger.warning("%s: what is tried cannot be noted: %s", self._path, exc)
            self._refused = True


NOT_NOTED: Final = Attempts()
"""Tries everything and keeps nothing: outside of the daemon."""


def _rest_s(deaths: int) -> float:
    """Return how long the process must live before what it set aside is tried again."""
    return min(_LONGEST_REST_S, _REST_S * 2.0 ** (deaths - _DEATHS))


def _part(key: str) -> str:
    return key.rpartition(" ")[0]


def _read(path: Path) -> _Page:
    """Read the file; what cannot be read blames nobody."""
    try:
        return _Page.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return _Page()
    except (OSError, ValidationError) as exc:
        reason = str(exc).partition("\n")[0]
        logger.warning("%s cannot be read, and begins anew: %s", path, reason)
        return _Page()


def _identity(process: int) -> str:
    """Return what no later process has: the start of the machine, its number, and its own start."""
    try:
        boot = _BOOT.read_text().strip()
        facts = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return f"{boot} {process} {facts[19]}"


def _is_alive(identity: str) -> bool:
    """Whether the process that wrote the file works still, and is another one than this."""
    number = " ".join(identity.split()[1:2])
    if not number.isdecimal() or int(number) == os.getpid():
        return False
    return _identity(int(number)) == identity


def _of_this_boot(identity: str) -> bool:
    return identity.partition(" ")[0] == _identity(os.getpid()).partition(" ")[0]
