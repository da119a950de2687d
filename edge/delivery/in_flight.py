"""Sends the outbox over one connection in a window, and handles the broker's answers.

Only ``Standing`` survives a connection; the next connection starts again from the outbox. So a
message is sent again after each break of the connection until it is acknowledged.
"""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from edge.delivery.message import Kind, Message
from edge.delivery.mqtt.connection import Acknowledged, Connection
from edge.delivery.mqtt.paho_client import packet_size
from edge.delivery.outbox import Outbox, Queued
from edge.errors import PublishError

logger = logging.getLogger(__name__)

# MQTT 5 reason codes of a PUBACK (section 3.4.2.1).
_FAILURE: Final = 0x80
_TOPIC_NAME_INVALID, _PACKET_TOO_LARGE, _PAYLOAD_FORMAT_INVALID = 0x90, 0x95, 0x99
# Refusals that are final for a message. Any other one may be temporary: rights and quotas change.
_HOPELESS: Final = {_TOPIC_NAME_INVALID, _PACKET_TOO_LARGE, _PAYLOAD_FORMAT_INVALID}

_STRIKES: Final = 3
_READ_AHEAD: Final = 100
_DELETE_S: Final = 0.1


@dataclass
class Standing:
    """State of the delivery that lasts from one connection to the next.

    Attributes:
        held: Lanes that the broker refused, with the monotonic second of the next attempt.
        finished: Messages to delete from the outbox, and whether they were dropped. They stay here
            while the disk fails, so that they are not sent again.
        cautious: Whether the last connection broke without an acknowledgement; the next one then
            starts with a single message.
        strikes: Connections that broke on one message that was sent alone.
        delivered: Acknowledged messages since start, by kind.
        refused: Messages that the broker refused since start, by kind.
    """

    held: dict[str, float] = field(default_factory=dict)
    finished: dict[int, bool] = field(default_factory=dict)
    cautious: bool = False
    strikes: Counter[int] = field(default_factory=Counter)
    delivered: Counter[Kind] = field(default_factory=Counter)
    refused: Counter[Kind] = field(default_factory=Counter)


class Delivery:
    """Delivers the outbox over one connection, in the thread that owns the connection.

    Args:
        window: Largest number of messages sent and not acknowledged.
        patience_s: Seconds without any acknowledgement after which the connection counts as lost.
        hold_s: Seconds from a refusal that may be temporary to the next try of that lane.
        on_delivered: Called with each acknowledged message and its ``time.monotonic()``.
    """

    def __init__(
        self,
        connection: Connection,
        outbox: Outbox,
        standing: Standing,
        *,
        window: int,
        patience_s: float,
        hold_s: float,
        on_delivered: Callable[[Message, float], None],
    ) -> None:
        self._connection = connection
        self._outbox = outbox
        self._standing = standing
        self._window = min(window, connection.receive_maximum)
        self._patience_s = patience_s
        self._hold_s = hold_s
        self._on_delivered = on_delivered
        self._queued: dict[int, Queued] = {}  # packet number -> message of the outbox
        self._direct: dict[int, Message] = {}
        self._ready: deque[Queued] = deque()  # read ahead, not sent yet
        self._more = True  # the outbox may contain more
        self._deleted_at = -float("inf")
        self._progress_at = time.monotonic()
        self._acknowledged = False  # any message of the outbox, on this connection

    @property
    def idle(self) -> bool:
        """Whether no message is unacknowledged and none is left to send."""
        return not (
            self._queued or self._direct or self._ready or self._more or self._standing.finished
        )

    @property
    def unacknowledged(self) -> list[Message]:
        """Unacknowledged messages that were not sent from the outbox."""
        return list(self._direct.values())

    def look_again(self) -> None:
        """Read the outbox again: new messages may be more urgent than those read ahead."""
        self._ready.clear()
        self._more = True

    def send(self, message: Message) -> None:
        """Send without the outbox; log and drop a message over the broker's packet limit."""
        limit = self._connection.max_packet
        if limit is not None and packet_size(message) > limit:
            self._drop(message, f"takes packets of up to {limit} bytes")
        elif (packet := self._connection.publish(message)) is not None:
            self._direct[packet] = message

    def settle(self) -> None:
        """Handle acknowledgements; from time to time delete those messages from the outbox.

        Raises:
            OutboxError: The disk fails; call again later.
            PublishError: The broker acknowledged nothing for too long.
        """
        now = time.monotonic()
        answers = self._connection.acknowledged()
        if answers or not self._queued:
            self._progress_at = now
        elif now > self._progress_at + self._patience_s:
            raise PublishError(f"the broker acknowledged nothing for {self._patience_s:.0f} s")
        for answer in answers:
            self._direct.pop(answer.packet, None)
            if queued := self._queued.pop(answer.packet, None):
                self._settle_one(queued, answer, now)
        # Many messages share one commit; the limit bounds how many a crash causes to be sent again.
        finished = len(self._standing.finished)
        if finished >= _READ_AHEAD or not self._ready or now > self._deleted_at + _DELETE_S:
            self.delete_finished()

    def delete_finished(self) -> None:
        """Delete acknowledged and finally refused messages from the outbox."""
        self._deleted_at = time.monotonic()
        finished = self._standing.finished
        for dropped in (False, True):
            seqs = [seq for seq, flag in finished.items() if flag is dropped]
            if seqs:
                self._outbox.delete(seqs, dropped=dropped)
                for seq in seqs:
                    del finished[seq]

    def fill(self) -> None:
        """Send from the outbox until the window is full.

        Raises:
            OutboxError: The disk fails; call again later.
        """
        self._release_lanes()
        window = 1 if self._standing.cautious else self._window
        while (room := window - len(self._queued) - len(self._direct)) > 0:
            if not self._ready and not self._read_ahead():
                return
            for _ in range(min(room, len(self._ready))):
                self._send_queued(self._ready.popleft())

    def broken(self) -> None:
        """Record that the connection is lost, and which message may have caused it."""
        standing = self._standing
        if not self._queued or self._acknowledged:
            return
        if standing.cautious:
            (suspect,) = self._queued.values()
            standing.strikes[suspect.seq] += 1
            if standing.strikes[suspect.seq] >= _STRIKES and suspect.message.kind != "alert":
                self._refuse(suspect, f"closes the connection on it, {_STRIKES} times in a row")
        standing.cautious = True

    def _read_ahead(self) -> bool:
        """Read messages for the next few windows at once; return whether any is ready."""
        if self._more:
            taken = {queued.seq for queued in self._queued.values()}.union(self._standing.finished)
            self._ready.extend(
                self._outbox.pending(_READ_AHEAD, excluding=taken, holding=self._standing.held)
            )
            self._more = len(self._ready) == _READ_AHEAD
        return bool(self._ready)

    def _settle_one(self, queued: Queued, answer: Acknowledged, now: float) -> None:
        self._acknowledged = True
        self._standing.cautious = False
        self._standing.strikes.clear()
        if answer.code < _FAILURE:
            self._standing.finished[queued.seq] = False
            self._standing.delivered[queued.message.kind] += 1
            self._on_delivered(queued.message, now)
        elif answer.code in _HOPELESS:
            self._refuse(queued, f"says: {answer.reason}")
        else:
            self._hold(queued.message, answer.reason, now)

    def _send_queued(self, queued: Queued) -> None:
        limit = self._connection.max_packet
        if limit is not None and packet_size(queued.message) > limit:
            self._refuse(queued, f"takes packets of up to {limit} bytes")
        elif (packet := self._connection.publish(queued.message)) is not None:
            self._queued[packet] = queued

    def _refuse(self, queued: Queued, reason: str) -> None:
        self._drop(queued.message, reason)
        self._standing.finished[queued.seq] = True

    def _drop(self, message: Message, reason: str) -> None:
        logger.error(
            "dropped a message on %s (%d bytes): the broker %s",
            message.topic,
            len(message.payload),
            reason,
        )
        self._standing.refused[message.kind] += 1

    def _hold(self, message: Message, reason: str, now: float) -> None:
        if message.lane not in self._standing.held:
            logger.error(
                "the broker refuses messages on %s: %s; trying again in %.0f s",
                message.topic,
                reason,
                self._hold_s,
            )
        self._standing.held[message.lane] = now + self._hold_s
        self.look_again()

    def _release_lanes(self) -> None:
        now = time.monotonic()
        for lane in [lane for lane, until in self._standing.held.items() if until <= now]:
            del self._standing.held[lane]
            self.look_again()
