"""Answers searches that arrive over MQTT, one after the other, in its own thread.

A search may take seconds if the disk is slow or the sentence is new; neither the loop nor the
publisher waits for it.
"""

from collections.abc import Callable
from typing import Final

from edge.control.answers import AnswerRoute
from edge.control.mailbox import Mailbox
from edge.delivery.message import Message
from edge.search.request import SEARCH_SCHEMA, Answerer, SearchAnswer
from edge.system.pulse import Pulse
from edge.system.workers import WorkerThread

# Maximum number of waiting searches. A client gives up long before so many are answered.
WAITING: Final = 16


class SearchDesk:
    """Thread that answers search requests.

    Args:
        route: Says where an answer goes.
        answerer: Turns a request into an answer, both as bytes.
        mailbox: Queue of received requests.
        publish: Sends a message; called from the desk's thread.
    """

    def __init__(
        self,
        route: AnswerRoute,
        answerer: Answerer,
        mailbox: Mailbox,
        publish: Callable[[Message], None],
    ) -> None:
        self._route = route
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

    def stop(self, timeout_s: float) -> bool:
        """Stop answering, and wait up to ``timeout_s``; return whether the thread has ended."""
        self._mailbox.close()
        return self._thread.join(timeout_s)

    @property
    def pulse(self) -> Pulse:
        """Says whether the thread goes on."""
        return self._mailbox.pulse

    def _run(self) -> None:
        for received in self._mailbox:
            if received.retain:
                continue  # the broker retained it, so it is old
            answer = self._answerer.answer(received.payload)
            self._publish(self._route.message(received, answer, SEARCH_SCHEMA, _withheld))


def _withheld(reason: str) -> bytes:
    """Return the answer for a topic that others read: nothing of what the cameras saw."""
    return SearchAnswer(error=f"{reason}; what was found is not sent where others read").to_json()
