"""Answers searches that come over MQTT, one after the other, in a thread of its own.

A search may take seconds where the disk is slow or the sentence is new; neither the loop nor the
publisher waits for it.
"""

from collections.abc import Callable
from typing import Final

from edge.control.commands import answer_topic
from edge.control.mailbox import Mailbox
from edge.delivery.message import Message
from edge.delivery.topics import Topics
from edge.search.request import SEARCH_SCHEMA, Answerer
from edge.system.workers import WorkerThread

# Searches that wait. An asker gives up long before so many are answered.
WAITING: Final = 16


class SearchDesk:
    """Takes requests and answers them.

    Args:
        topics: Topics of the box.
        answerer: Turns a request into an answer, bytes to bytes.
        mailbox: Received requests.
        publish: Sends a message; called from the desk's thread.
    """

    def __init__(
        self,
        topics: Topics,
        answerer: Answerer,
        mailbox: Mailbox,
        publish: Callable[[Message], None],
    ) -> None:
        self._topics = topics
        self._answerer = answerer
        self._mailbox = mailbox
        self._publish = publish
        self._thread = WorkerThread("search", self._run)

    @property
    def failed(self) -> bool:
        """Whether an error that nobody expected has ended the thread."""
        return self._thread.failed

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self, _timeout_s: float) -> None:
        """Answer no more. A search that runs is not waited for: it only reads."""
        self._mailbox.close()

    def _run(self) -> None:
        for received in self._mailbox:
            if received.retain:
                continue  # the broker had kept it: it is old
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
