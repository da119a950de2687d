"""Queues received messages between the publisher's thread and the thread that handles them."""

import logging
import queue
from collections.abc import Callable, Iterator
from typing import Final

from edge.config.models import HomeAssistantConfig
from edge.control.commands import command_filters
from edge.delivery.message import Received
from edge.delivery.topics import Topics

logger = logging.getLogger(__name__)

# Nobody sends so many commands by hand.
_WAITING: Final = 1000


class Mailbox:
    """A bounded queue of messages. Iterating takes them, until it is closed.

    Args:
        what: Word for the messages, for the log.
        waiting: Most messages that wait; one more is dropped and logged.
    """

    def __init__(self, what: str = "commands", waiting: int = _WAITING) -> None:
        self._what = what
        self._most = waiting
        self._waiting: queue.Queue[Received | None] = queue.Queue(waiting)

    def receive(self, received: Received) -> None:
        """Take a message; returns at once."""
        self._put(received)

    def close(self) -> None:
        """End the iteration once everything before it is taken."""
        self._put(None)

    def __iter__(self) -> Iterator[Received]:
        while (received := self._waiting.get()) is not None:
            yield received

    def _put(self, received: Received | None) -> None:
        try:
            self._waiting.put_nowait(received)
        except queue.Full:
            logger.error("%d %s wait already: one more is dropped", self._most, self._what)  # noqa: TRY400  expected: no traceback


def listeners(
    topics: Topics, home: HomeAssistantConfig, commands: Mailbox, searches: Mailbox | None
) -> tuple[list[str], Callable[[Received], None]]:
    """Return topic filters to subscribe to, and the function that takes what arrives.

    Args:
        topics: Topics of the device.
        home: Home Assistant's topics.
        commands: Takes commands.
        searches: Takes searches; None where there is no index.
    """
    filters = command_filters(topics) + ([home.birth] if home.discovery else [])
    if searches is None:
        return filters, commands.receive

    def receive(received: Received) -> None:
        mailbox = searches if received.topic == topics.search() else commands
        mailbox.receive(received)

    return [*filters, topics.search()], receive
