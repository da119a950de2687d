"""Sends messages over one connection in a window, and handles the broker's answers.

The window holds the messages of the outbox and those from memory, as the broker's receive maximum
counts both. The order is: the device's status, alerts, others from memory, snapshots, embeddings.
Only ``Standing`` survives a connection; the next connection starts again from the outbox. So a
message is sent again after each break of the connection until it is acknowledged.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from edge.delivery.message import Message
from edge.delivery.mqtt.answers import Acknowledged
from edge.delivery.mqtt.connection import Connection
from edge.delivery.mqtt.paho_client import packet_size
from edge.delivery.mqtt.refusals import Unsendable
from edge.delivery.not_taken import Outgoing, Refusals
from edge.delivery.outbox import Outbox
from edge.delivery.standing import Standing
from edge.delivery.unsent import Unsent
from edge.errors import OutboxError, PublishError

logger = logging.getLogger(__name__)

_READ_AHEAD: Final = 100
_DELETE_S: Final = 0.1
# Size of the unacknowledged messages from which on the window is full.
_WINDOW_BYTES: Final = 4 * 1024 * 1024


class Delivery:
    """Delivers messages over one connection, in the thread that owns the connection.

    Args:
        window: Largest number of messages sent and not acknowledged.
        patience_s: Seconds without any acknowledgement after which the connection counts as lost.
        hold_s: Seconds from a refusal that may be temporary to the next try of that lane.
        on_delivered: Called with each acknowledged message of the outbox and its
            ``time.monotonic()``.
    """

    def __init__(
        self,
        connection: Connection,
        outbox: Outbox,
        unsent: Unsent,
        standing: Standing,
        *,
        window: int,
        patience_s: float,
        hold_s: float,
        on_delivered: Callable[[Message, float], None],
    ) -> None:
        self._connection = connection
        self._outbox = outbox
        self._unsent = unsent
        self._standing = standing
        self._window = min(window, connection.terms.receive_maximum)
        self._patience_s = patience_s
        self._refusals = Refusals(standing, hold_s, unsent.put)
        self._on_delivered = on_delivered
        self._sent: dict[int, Outgoing] = {}  # packet number -> unacknowledged message
        self._sent_bytes = 0
        self._unproven: dict[str, int] = {}  # topic of QoS 0 -> packet of QoS 1 sent before it
        self._last_packet = 0
        self._waiting: deque[Outgoing] = deque()  # from memory, not sent yet
        self._ready: deque[Outgoing] = deque()  # of the outbox, read ahead, not sent yet
        self._more = True  # the outbox may contain more
        self._disk_failure: OutboxError | None = None
        self._deleted_at = -float("inf")
        self._progress_at = time.monotonic()
        self._answered = False
        self._pinged = False

    @property
    def idle(self) -> bool:
        """Whether no message is unacknowledged and none is left to send."""
        unfinished = self._sent or self._waiting or self._ready or self._more
        return not unfinished and not self._standing.finished and self._unsent.empty

    @property
    def unacknowledged(self) -> list[Message]:
        """Unacknowledged messages that were not sent from the outbox."""
        return [item.message for item in self._sent.values() if item.seq is None]

    def look_again(self) -> None:
        """Read the outbox again: new messages may be more urgent than those read ahead."""
        self._ready.clear()
        self._more = True

    def settle(self) -> None:
        """Handle acknowledgements; from time to time delete those messages from the outbox.

        Raises:
            OutboxError: The disk fails; call again later.
            PublishError: The broker acknowledged nothing for too long.
        """
        now = time.monotonic()
        answers = self._connection.acknowledged()
        if answers or not self._sent:
            self._progress_at = now
        elif now > self._progress_at + self._patience_s:
            raise PublishError(f"the broker acknowledged nothing for {self._patience_s:.0f} s")
        for answer in answers:
            if item := self._sent.pop(answer.packet, None):
                self._sent_bytes -= item.message.size
                self._settle_one(item, answer, now)
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
        """Send until the window is full; messages from memory also while the disk fails.

        Raises:
            OutboxError: The disk fails; call again later.
        """
        if self._refusals.release():
            self.look_again()
        self._disk_failure = None
        while self._room and (queue := self._most_urgent()):
            if self._standing.quarantine.suspects(queue[0].key) and (
                self._sent or not self._proved_sound()
            ):
                break  # it must be alone on the wire, of a broker that is known to answer
            self._send(queue.popleft())
        if self._disk_failure:
            raise self._disk_failure

    def say_last(self, message: Message) -> None:
        """Send a message at once, with QoS 0 where the window is full."""
        full = len(self._sent) >= self._window
        self._send(Outgoing(replace(message, qos=0) if full else message))

    def broken(self) -> None:
        """Give back what was not delivered, and find out which message ended the connection."""
        items = list(self._sent.values())
        keys = [*(item.key for item in items), *self._unproven]
        sound = self._answered or (self._pinged and not self._connection.pinging)
        struck = self._standing.quarantine.broken(keys, answered=sound)
        if struck is not None and self._refusals.strike_out(items[-1], sound=self._answered):
            items.pop()
        rest = [item for item in (*items, *self._waiting) if item.seq is None]
        self._unsent.give_back(item.message for item in rest)

    def _proved_sound(self) -> bool:
        """Whether the broker answers on this connection; it is asked where it has not yet."""
        if not (self._answered or self._pinged):
            self._pinged = True
            self._connection.ping()
        return self._answered or not self._connection.pinging

    @property
    def _room(self) -> bool:
        # A suspect is sent only while nothing else is on the wire; nothing follows it.
        alone = len(self._sent) == 1 and any(
            self._standing.quarantine.suspects(item.key) for item in self._sent.values()
        )
        roomy = len(self._sent) < self._window and self._sent_bytes < _WINDOW_BYTES
        return roomy and not alone and not self._connection.congested

    def _most_urgent(self) -> deque[Outgoing] | None:
        """Queue whose first message is the next to send; None where there is none."""
        if status := self._unsent.take_status():
            self._waiting.appendleft(Outgoing(status))
        if not self._waiting and (batch := self._unsent.take_all()):
            self._waiting.extend(Outgoing(message) for message in batch)
            self.look_again()  # an alert of the outbox is older than a message that follows it
        if self._waiting and self._waiting[0].message.kind == "status":
            return self._waiting
        self._read_ahead()
        if self._ready and (not self._waiting or self._ready[0].message.kind == "alert"):
            return self._ready
        return self._waiting or None

    def _read_ahead(self) -> None:
        """Read messages for the next few windows at once."""
        if self._ready or not self._more or self._disk_failure:
            return
        standing = self._standing
        taken = {item.seq for item in self._sent.values() if item.seq is not None}
        taken.update(standing.finished)
        taken.update(key for key in standing.quarantine.held() if isinstance(key, int))
        try:
            read = self._outbox.pending(_READ_AHEAD, excluding=taken, holding=standing.held)
        except OutboxError as exc:
            self._disk_failure = exc
            return
        self._ready.extend(Outgoing(queued.message, queued.seq) for queued in read)
        self._more = bool(read)

    def _send(self, item: Outgoing) -> None:
        message = item.message
        limit = self._connection.terms.max_packet
        if self._standing.quarantine.holds(item.key):
            return  # the latest message of its topic is sent once the quarantine is over
        if limit is not None and packet_size(message) > limit:
            self._refusals.drop(item, f"the broker takes packets of up to {limit} bytes")
            return
        if self._standing.quarantine.suspicious:
            message = replace(message, qos=1)  # so that a break shows which message was the last
        try:
            packet = self._connection.publish(message)
        except Unsendable as exc:
            self._refusals.drop(item, str(exc))
            return
        if packet is None:
            self._unproven[message.topic] = self._last_packet
        else:
            self._last_packet = packet
            self._sent[packet] = item
            self._sent_bytes += message.size

    def _settle_one(self, item: Outgoing, answer: Acknowledged, now: float) -> None:
        self._answered = True
        # A broker handles packets in order: this one proves all that were sent before it.
        if answer.packet == self._last_packet:
            self._unproven = {
                topic: packet
                for topic, packet in self._unproven.items()
                if packet == self._last_packet
            }
        self._standing.quarantine.acknowledged(item.key)
        if answer.refused:
            if self._refusals.answered(item, answer.code, answer.reason, now):
                self.look_again()
        elif item.seq is None:
            self._unsent.acknowledged(item.message)
        else:
            self._standing.struck.pop(item.message.lane, None)
            self._standing.finished[item.seq] = False
            self._standing.delivered[item.message.kind] += 1
            self._on_delivered(item.message, now)
