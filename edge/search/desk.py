"""Searches asked for over MQTT: one after the other, in a thread of its own.

A search may take seconds where the disk is slow or the sentence is new; neither the loop nor the
publisher waits for it.
"""

import logging
import queue
import threading
from collections.abc import Callable
from typing import Final

from edge.control.commands import answer_topic
from edge.delivery.connection import Received
from edge.delivery.payloads import Message, Topics
from edge.search.request import SEARCH_SCHEMA, Answerer

logger = logging.getLogger(__name__)

# Requests that wait. An asker gives up long before so many are answered.
_WAITING: Final = 16


class SearchDesk:
    """Takes requests and answers them.

    Args:
        topics: Of the box.
        answerer: Bytes to bytes.

    Attributes:
        topic: Where requests come in.
    """

    def __init__(self, topics: Topics, answerer: Answerer) -> None:
        self.topic = topics.search()
        self._topics = topics
        self._answerer = answerer
        self._waiting: queue.Queue[Received | None] = queue.Queue(_WAITING)
        self._publish: Callable[[Message], None]
        self._thread = threading.Thread(target=self._run, name="search", daemon=True)

    def start(self, publish: Callable[[Message], None]) -> None:
        """Begin to answer; ``publish`` sends, and is called from the desk's thread."""
        self._publish = publish
        self._thread.start()

    def stop(self) -> None:
        """Answer no more. A search that runs is not waited for: it only reads."""
        self.receive(None)

    def receive(self, received: Received | None) -> None:
        """Take a request; returns at once. One that the broker had kept is old, and left."""
        if received is not None and received.retain:
            return
        try:
            self._waiting.put_nowait(received)
        except queue.Full:
            logger.warning("%d searches wait already: one more is dropped", _WAITING)

    def _run(self) -> None:
        while (received := self._waiting.get()) is not None:
            self._publish(
                Message(
                    answer_topic(self._topics, received),
                    self._answerer.answer(received.payload),
                    "answer",
                    None,
                    1,
                    False,
                    "application/json",
                    SEARCH_SCHEMA,
                    correlation=received.correlation,
                )
            )
