"""Keeps in memory what the outbox has not written yet: most of it is acknowledged before."""

from collections.abc import Collection, Iterator
from typing import Final

from edge.delivery.message import Message

# Longest time in memory, which is what a crash may cost, and largest size there.
_LONGEST_S: Final = 1.0
_MOST_BYTES: Final = 1024 * 1024


class Young:
    """Messages of the outbox that are in memory alone. Not thread-safe: the outbox has the lock.

    Args:
        longest_s: Seconds after which the oldest is due to be written.
    """

    def __init__(self, longest_s: float = _LONGEST_S) -> None:
        self._longest_s = longest_s
        self._messages: dict[int, Message] = {}  # by their numbers, the oldest first
        self._bytes = 0
        self._since = 0.0  # monotonic time of the first since they were written last

    def __iter__(self) -> Iterator[tuple[int, Message]]:
        """Iterate over numbers and messages, the oldest first."""
        return iter(self._messages.items())

    @property
    def bytes(self) -> int:
        """Size of the messages."""
        return self._bytes

    def add(self, seq: int, message: Message, now: float) -> None:
        """Keep a message of the number ``seq`` from ``now`` on, in monotonic seconds."""
        if not self._messages:
            self._since = now
        self._messages[seq] = message
        self._bytes += message.size

    def is_due(self, now: float) -> bool:
        """Whether they must be written."""
        waited = now - self._since >= self._longest_s
        return bool(self._messages) and (waited or self._bytes >= _MOST_BYTES)

    def remove(self, seqs: Collection[int]) -> list[Message]:
        """Remove the messages of these numbers, unknown ones apart; return them."""
        gone = [self._messages.pop(seq) for seq in seqs if seq in self._messages]
        self._bytes -= sum(message.size for message in gone)
        return gone

    def clear(self) -> None:
        self._messages.clear()
        self._bytes = 0
