"""Says whether a thread goes on: not whether it lives, but whether it comes to the end of its work.

A thread that waits for work may wait for ever. One that is at a piece of work for longer than any
such piece takes hangs: in a lock, a driver, a call that does not return.
"""

import time


class Pulse:
    """Pulse of one thread. The thread sets it, and any other may look at it.

    Args:
        patience_s: Seconds that the longest piece of work may take.
    """

    def __init__(self, patience_s: float) -> None:
        self.patience_s = patience_s
        self._since: float | None = None  # a float is set and read at once

    def beat(self) -> None:
        """A piece of work begins, or goes on."""
        self._since = time.monotonic()

    def rest(self) -> None:
        """The thread waits for work."""
        self._since = None

    def is_late(self) -> bool:
        """Whether the present piece of work takes too long."""
        since = self._since
        return since is not None and time.monotonic() - since > self.patience_s
