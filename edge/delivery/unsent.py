"""Keeps in memory the messages that go out without the outbox, until a connection takes them."""

import threading
from collections import Counter, deque
from collections.abc import Iterable

from edge.delivery.message import Kind, Message


class Unsent:
    """Messages to publish that are not in the outbox; methods may be called from any thread.

    The latest retained message of each topic is kept for ever, and is sent again on each new
    connection. Other messages are sent once; the newest ``most`` of them wait for a connection.

    Args:
        most: Largest number of waiting messages that are not retained.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._latest: dict[str, Message] = {}
        self._changed: dict[str, Message] = {}
        self._fleeting: deque[Message] = deque()
        self._forgotten: Counter[Kind] = Counter()

    @property
    def forgotten(self) -> dict[Kind, int]:
        """Number of messages that were lost because too many waited, by kind."""
        with self._lock:
            return dict(self._forgotten)

    def put(self, message: Message) -> None:
        """Add a message; a retained one replaces the previous one on its topic."""
        with self._lock:
            if message.retain:
                self._latest[message.topic] = message
                self._changed.pop(message.topic, None)  # the newest is sent last
                self._changed[message.topic] = message
            else:
                self._fleeting.append(message)
                self._shorten()

    def take(self) -> Message | None:
        """Remove and return the next message to send; None where there is none."""
        with self._lock:
            if self._changed:
                return self._changed.pop(next(iter(self._changed)))
            return self._fleeting.popleft() if self._fleeting else None

    def send_retained_again(self) -> None:
        """Send every retained message again: the broker of a new connection may have none."""
        with self._lock:
            self._changed = dict(self._latest)

    def give_back(self, messages: Iterable[Message]) -> None:
        """Take back messages that a lost connection did not acknowledge, oldest first."""
        again = [message for message in messages if not message.retain]
        with self._lock:
            self._fleeting.extendleft(reversed(again))
            self._shorten()

    def _shorten(self) -> None:
        while len(self._fleeting) > self._most:
            self._forgotten[self._fleeting.popleft().kind] += 1
