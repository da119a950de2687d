"""Reads the configuration again while the box runs: what changes, what waits for a restart."""

import threading
from collections.abc import Callable

from pydantic import BaseModel

from edge.config.models import Config

_LIVE = ("prompts", "cameras", "profile")


class Reload:
    """The wish to read the configuration again, which may come before anybody listens.

    Args:
        read: Reads and checks the file.

    Attributes:
        read: Reads and checks the file.
    """

    def __init__(self, read: Callable[[], Config]) -> None:
        self.read = read
        self._lock = threading.Lock()
        self._listener: Callable[[], None] | None = None
        self._asked = False

    def ask(self) -> None:
        """Ask for it; returns at once."""
        with self._lock:
            self._asked = True
            listener = self._listener
        if listener is not None:
            listener()

    def listen(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` at each wish, and now if there was one."""
        with self._lock:
            self._listener = listener
            asked = self._asked
        if asked:
            listener()


def live_part(running: Config, file: Config) -> Config:
    """Return the running configuration with what can change of the file's."""
    return running.model_copy(update={name: getattr(file, name) for name in _LIVE})


def waiting_for_restart(running: Config, file: Config) -> str | None:
    """Say which keys of the file wait for a restart; None where none does."""
    keys: list[str] = []
    for name in Config.model_fields:
        now, wanted = getattr(running, name), getattr(file, name)
        if name in _LIVE or now == wanted:
            continue
        if isinstance(now, BaseModel) and isinstance(wanted, BaseModel):
            keys += [
                f"{name}.{key}"
                for key in type(now).model_fields
                if getattr(now, key) != getattr(wanted, key)
            ]
        else:
            keys.append(name)
    return f"changed, and in force after a restart: {', '.join(keys)}" if keys else None
