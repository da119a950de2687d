"""Says what time it is only while the clock can be believed.

The clock of a box without a battery starts in 1970, and jumps when it is first set; a person or a
wrong time server may move it by a year, and back. Nothing may be deleted for its age then.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

from edge.system.clock import clock_synced

logger = logging.getLogger(__name__)

# Less than this is no jump, but a correction, or a pause between the readings of two clocks.
_JUMP_S: Final = 10.0


class SteadyClock:
    """Wall clock that tells the time only when it has run steadily for a while.

    Args:
        settle_s: Seconds without a jump until the time is told.
        wall: UTC seconds.
        monotonic: Monotonic seconds.
        synced: Whether the clock was synchronised; None where that cannot be known.
    """

    def __init__(
        self,
        settle_s: float,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        synced: Callable[[], bool | None] = clock_synced,
    ) -> None:
        self._settle_s = settle_s
        self._wall, self._monotonic, self._synced = wall, monotonic, synced
        self._since = monotonic()
        self._offset = wall() - self._since

    def __call__(self) -> float | None:
        """Return UTC seconds; None while they cannot be believed. Call it often: it sees jumps."""
        wall, now = self._wall(), self._monotonic()
        jumped = wall - now - self._offset
        self._offset = wall - now
        if abs(jumped) > _JUMP_S:
            self._since = now
            logger.warning(
                "the clock jumped by %+.0f s: for %.0f s nothing is deleted for its age",
                jumped,
                self._settle_s,
            )
        if now - self._since < self._settle_s or self._synced() is False:
            return None
        return wall
