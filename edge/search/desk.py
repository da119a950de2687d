"""Answers searches that arrive over MQTT, one after the other, in its own thread.

A search may take seconds if the disk is slow or the sentence is new; neither the loop nor the
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

# Maximum number of waiting searches. A client gives up long before so many are answered.
WAITING: Final = 16


class SearchDesk:
    """Thread that answers search requests.

    Args:
        topics: Topics of the box.
        answerer: Turns a request into an answer, both as bytes.
        mailbox: Queue of received requests.
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
        """Return whether an unexpected error has ended the thread."""
        return self._thread.failed

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, _timeout_s: float) -> None:
        """Stop answering. A running search is not waited for, because it only reads."""
        self._mailbox.close()

    def _run(self) -> None:
        for received in self._mailbox:
            if received.retain:
                continue  # the broker retained it, so it is old
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
