"""Keeps in memory the messages that go out without the outbox, until a connection takes them."""

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable

from edge.delivery.message import Kind, Message


class Unsent:
    """Messages to publish that are not in the outbox; methods may be called from any thread.

    The latest retained message of each topic is kept for ever, and is sent again on each new
    connection. Other messages are sent once; the newest of them wait for a connection, and alerts
    are the last to go.

    Args:
        most: Largest number of waiting messages that are not retained.
        most_bytes: Largest size of these messages; also the largest size of the retained pictures,
            of which the oldest are not sent again.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._latest: dict[str, Message] = {}
        self._changed: dict[str, Message] = {}
        self._pictures: dict[str, int] = {}  # sizes, the oldest picture first
        self._alerts: deque[Message] = deque()
        self._others: deque[Message] = deque()
        self._bytes = 0  # of alerts and others
        self._forgotten: Counter[Kind] = Counter()
        self._listeners: list[Callable[[str], None]] = []

    def listen(self, callback: Callable[[str], None]) -> None:
        """Call ``callback`` with each topic that a broker has removed, on its thread."""
        self._listeners.append(callback)

    @property
    def forgotten(self) -> dict[Kind, int]:
        """Number of messages that were lost because too many waited, by kind."""
        with self._lock:
            return dict(self._forgotten)

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        with self._lock:
            return not (self._changed or self._alerts or self._others)

    def put(self, message: Message) -> None:
        """Add a message; a retained one replaces the previous one on its topic."""
        with self._lock:
            if message.retain:
                self._latest[message.topic] = message
                self._changed.pop(message.topic, None)  # the newest is sent last
                self._changed[message.topic] = message
                self._shorten_pictures(message)
            else:
                self._queue(message.kind).append(message)
                self._bytes += message.size
                self._shorten()

    def take_status(self) -> Message | None:
        """Remove and return the device's status; None where it has not changed."""
        with self._lock:
            for topic, message in self._changed.items():
                if message.kind == "status":
                    return self._changed.pop(topic)
        return None

    def take_all(self) -> list[Message]:
        """Remove and return everything that waits: alerts, what is retained, the rest.

        An alert goes before what is retained, because the retained ``ON`` of a rule follows it.
        """
        with self._lock:
            batch = [*self._alerts, *self._changed.values(), *self._others]
            self._alerts.clear()
            self._changed.clear()
            self._others.clear()
            self._bytes = 0
        return batch

    def send_retained_again(self) -> None:
        """Send every retained message again: the broker of a new connection may have none."""
        with self._lock:
            self._changed = dict(self._latest)

    def acknowledged(self, message: Message) -> None:
        """Forget an empty retained message, which has removed its topic from the broker."""
        with self._lock:
            if message.payload or self._latest.get(message.topic) is not message:
                return
            del self._latest[message.topic]
        for callback in self._listeners:
            callback(message.topic)

    def give_back(self, messages: Iterable[Message]) -> None:
        """Take back messages that a lost connection did not deliver, oldest first."""
        again = [message for message in messages if not message.retain]
        with self._lock:
            for message in reversed(again):
                self._queue(message.kind).appendleft(message)
                self._bytes += message.size
            self._shorten()

    def _queue(self, kind: Kind) -> deque[Message]:
        return self._alerts if kind == "alert" else self._others

    def _shorten(self) -> None:
        while len(self._alerts) + len(self._others) > self._most or self._bytes > self._most_bytes:
            gone = (self._others or self._alerts).popleft()
            self._bytes -= gone.size
            self._forgotten[gone.kind] += 1

    def _shorten_pictures(self, newest: Message) -> None:
        if not newest.content_type.startswith("image/"):
            return
        self._pictures.pop(newest.topic, None)
        self._pictures[newest.topic] = newest.size
        while len(self._pictures) > 1 and sum(self._pictures.values()) > self._most_bytes:
            topic = next(iter(self._pictures))
            del self._pictures[topic], self._latest[topic]
            if self._changed.pop(topic, None):
                self._forgotten[newest.kind] += 1
