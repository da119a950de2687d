"""Queues received messages between the publisher's thread and the thread that handles them."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Final

from edge.config.models import HomeAssistantConfig
from edge.control.commands import MAX_BYTES, command_filters
from edge.delivery.message import Received
from edge.delivery.topics import Topics
from edge.system.pulse import Pulse

logger = logging.getLogger(__name__)

# Nobody sends so many commands by hand.
_WAITING: Final = 1000
# Thousands of sentences take minutes where a slow box compiles them for the first time.
_LONGEST_S: Final = 1800.0
_WAITING_BYTES: Final = 4 * 1024 * 1024


class Mailbox:
    """A queue of messages, bounded in number and bytes. Iterating takes them, until it is closed.

    Args:
        what: Word for the messages, for the log.
        waiting: Most messages that wait; those that come then are dropped and logged.
        largest: Size of the largest payload that its reader takes. Of a larger one so much is kept
            that the reader can see that it is too large.
        longest_s: Seconds that its reader may take for one.

    Attributes:
        pulse: Says whether its reader goes on.
    """

    def __init__(
        self,
        what: str = "commands",
        waiting: int = _WAITING,
        largest: int = MAX_BYTES,
        longest_s: float = _LONGEST_S,
    ) -> None:
        self.pulse: Final = Pulse(longest_s)
        self._what = what
        self._most = waiting
        self._largest = largest
        self._changed = threading.Condition()
        self._waiting: deque[Received] = deque()
        self._bytes = 0
        self._dropping = False
        self._closed = False

    def receive(self, received: Received) -> None:
        """Take a message; returns at once."""
        if len(received.payload) > self._largest:
            received = replace(received, payload=received.payload[: self._largest + 1])
        with self._changed:
            full = len(self._waiting) >= self._most or self._bytes + received.size > _WAITING_BYTES
            if not full:
                self._waiting.append(received)
                self._bytes += received.size
                self._changed.notify()
            elif not self._dropping:
                self._dropping = True
                logger.error(
                    "%d %s wait already, of %d bytes: more are dropped until these are done",
                    len(self._waiting), self._what, self._bytes,
                )  # fmt: skip

    def close(self) -> None:
        """End the iteration once everything before it is taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Received]:
        while (received := self._next()) is not None:
            yield received

    def _next(self) -> Received | None:
        with self._changed:
            self.pulse.rest()
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return None
            self.pulse.beat()
            received = self._waiting.popleft()
            self._bytes -= received.size
            self._dropping = self._dropping and bool(self._waiting)
            return received


def listeners(
    topics: Topics,
    home: HomeAssistantConfig,
    commands: Mailbox,
    searches: Mailbox | None,
    former: Iterable[str] = (),
) -> tuple[list[str], Callable[[Received], None]]:
    """Return topic filters to subscribe to, and the function that takes what arrives.

    Args:
        topics: Topics of the device.
        home: Home Assistant's topics.
        commands: Takes commands.
        searches: Takes searches; None where there is no index.
        former: Status topics of earlier names of the box, to which the caller subscribes.
    """
    filters = command_filters(topics) + ([home.birth] if home.discovery else [])
    if searches is not None:
        filters.append(topics.search())
    lasting = {topics.command("prompts"), topics.command("profile"), home.birth, *former}

    def receive(received: Received) -> None:
        if received.retain and received.topic not in lasting:
            return  # old; a broker may keep thousands, and they must not crowd out what is new
        mailbox = searches if searches and received.topic == topics.search() else commands
        mailbox.receive(received)

    return filters, receive
