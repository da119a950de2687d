"""Tells a level of the stream that lasts from somebody who stays for some minutes. Pure."""

import math
from typing import Final

LONGEST_EVENT_S: Final = 1800.0
"""What stays for longer, in seconds, is the scene and no event: its alert is a false alarm."""


class Moves:
    """The last change of the baseline at once, until it is known whether its level lasts.

    Auto-exposure, a lorry that parks and a person who stands in the picture all move the baseline,
    and all may alert on the way. Where the levels before and after have both lasted for longer than
    an event, those alerts were false. Otherwise a person may have come, or left.

    Args:
        since_s: Watched seconds from which on it is known what moved: at a restart somebody may
            stand in the picture.
    """

    def __init__(self, since_s: float = 0.0) -> None:
        self._began_s = self._moved_s = since_s
        self._waits = False

    @property
    def due_s(self) -> float:
        """Watched seconds at which its level will have lasted; infinity where none waits."""
        return self._moved_s + LONGEST_EVENT_S if self._waits else math.inf

    def add(self, watched_s: float, began_s: float | None = None) -> None:
        """Note that the baseline has moved.

        Args:
            watched_s: Watched seconds now.
            began_s: Those at which the stream began to come there; None where only alerts that come
                again and again say so.
        """
        lasted = watched_s - self._moved_s >= LONGEST_EVENT_S
        self._waits = lasted and began_s is not None
        self._moved_s = watched_s
        self._began_s = watched_s if began_s is None else began_s

    def lasting(self, watched_s: float) -> tuple[float, float] | None:
        """Return, once, the watched time in which the stream came to a level that has lasted."""
        if watched_s < self.due_s:
            return None
        self._waits = False
        return self._began_s, self._moved_s
