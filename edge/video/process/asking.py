"""Bounds how long the daemon waits for the answers of one camera's process."""

import time


class AskingTime:
    """Time for questions, which grows back.

    Nothing is asked while it is used up, so a process that answers late each time cannot keep the
    daemon's loop waiting for more than its share.

    Args:
        most_s: Seconds that are there at the beginning, and at most.
        share: Seconds that grow back in a second.
    """

    def __init__(self, most_s: float, share: float) -> None:
        self._most_s = self._left_s = most_s
        self._share = share
        self._seen_at = time.monotonic()

    @property
    def left(self) -> bool:
        """Whether there is time for a question."""
        now = time.monotonic()
        grown_s = self._share * (now - self._seen_at)
        self._left_s, self._seen_at = min(self._most_s, self._left_s + grown_s), now
        return self._left_s > 0.0

    def took(self, seconds: float) -> None:
        """Take note of how long a question has lasted, which may be more than there was."""
        self._left_s -= seconds
