"""Decides what becomes of a message that the broker refuses, or over which connections end.

It is dropped, or it waits, alone or with its lane, or another message is sent instead.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from edge.delivery.message import Message
from edge.delivery.quarantine import STRIKES, Key
from edge.delivery.standing import Standing

logger = logging.getLogger(__name__)

# MQTT 5 reason codes of a PUBACK (section 3.4.2.1).
_NOT_AUTHORIZED, _TOPIC_NAME_INVALID = 0x87, 0x90
_PACKET_TOO_LARGE, _PAYLOAD_FORMAT_INVALID = 0x95, 0x99
# Refusals that are final for a message. Any other one may be temporary: rights and quotas change.
_HOPELESS: Final = {_TOPIC_NAME_INVALID, _PACKET_TOO_LARGE, _PAYLOAD_FORMAT_INVALID}
# Refusals for which the topic is to blame: the broker may take the message on another one.
_OF_THE_TOPIC: Final = {_NOT_AUTHORIZED, _TOPIC_NAME_INVALID}
# Largest number of refused topics that the log names within ``hold_s``, where nothing is lost.
_MOST_NAMED: Final = 100


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send.

    Attributes:
        message: The message.
        seq: Its number in the outbox; None for one from memory.
    """

    message: Message
    seq: int | None = None

    @property
    def key(self) -> Key:
        """Name of the message for the quarantine."""
        return self.message.topic if self.seq is None else self.seq


class Refusals:
    """What became of messages that were not taken; it is written down in the standing.

    Args:
        standing: State that lasts from one connection to the next.
        hold_s: Seconds from a refusal that may be temporary to the next try of that lane.
        put: Queues the message that is sent instead of one whose topic is refused.
    """

    def __init__(self, standing: Standing, hold_s: float, put: Callable[[Message], None]) -> None:
        self._standing = standing
        self._hold_s = hold_s
        self._put = put

    def answered(self, item: Outgoing, code: int, reason: str, now: float) -> bool:
        """Take the broker's no to a message; return whether its lane waits now."""
        if code in _OF_THE_TOPIC and self._elsewhere(item.message, reason, now):
            return False
        if code in _HOPELESS or item.message.kind == "answer":
            self.drop(item, f"the broker says: {reason}")
            return False
        self._hold(item, reason, now)
        return True

    def drop(self, item: Outgoing, reason: str) -> None:
        """Give a message up, and count it as refused."""
        logger.error(
            "dropped a message on %.200s (%d bytes): %s",
            item.message.topic,
            len(item.message.payload),
            reason,
        )
        self._standing.refused[item.message.kind] += 1
        if item.seq is not None:
            self._standing.finished[item.seq] = True

    def strike_out(self, item: Outgoing, *, sound: bool) -> bool:
        """Drop a message, or put it into quarantine if it is an alert or will be replaced.

        One that has another to be sent instead is not dropped.

        Args:
            item: The message.
            sound: Whether the broker has taken another message; until then none is dropped.

        Returns:
            Whether that is all: it does not wait.
        """
        stored = item.seq is not None
        kept = item.message.kind == "alert" if stored else item.message.retain
        if stored:
            self._rest_lane(item.message.lane)
        if not kept and sound:
            often = f"{STRIKES} times in a row"
            if not self._elsewhere(
                item.message, f"it closes the connection, {often}", time.monotonic()
            ):
                self.drop(item, f"the broker closes the connection on it, {often}")
            self._standing.quarantine.acknowledged(item.key)
            return True
        if not (kept or stored):
            return False  # an answer cannot be read again after a rest
        self._standing.quarantine.add(item.key, item.message.topic, time.monotonic(), sure=sound)
        logger.error(
            "the broker closes the connection on a message on %s, %d times in a row: it waits, the"
            " others go on",
            item.message.topic,
            STRIKES,
        )
        return False

    def release(self) -> bool:
        """Let lanes and messages go whose time is over; return whether there were any."""
        now = time.monotonic()
        over = [lane for lane, until in self._standing.held.items() if until <= now]
        for lane in over:
            del self._standing.held[lane]
        return self._standing.quarantine.release(now) or bool(over)

    def _hold(self, item: Outgoing, reason: str, now: float) -> None:
        message, then = item.message, f"trying again in {self._hold_s:.0f} s"
        if item.seq is None:
            self._standing.refused[message.kind] += 1
            then = "trying again when it changes, and at the next connect"
        if message.lane not in self._standing.held:
            logger.error("the broker refuses messages on %s: %s; %s", message.topic, reason, then)
        self._standing.held[message.lane] = now + self._hold_s

    def _elsewhere(self, message: Message, reason: str, now: float) -> bool:
        """Send what there is instead of a message whose topic is refused; return whether any is.

        The log names each topic once in a while, and not without end where there are ever others.
        """
        if (instead := message.otherwise) is None:
            return False
        named = self._standing.named
        for topic in [topic for topic, until in named.items() if until <= now]:
            del named[topic]
        if message.topic not in named and len(named) < _MOST_NAMED:
            named[message.topic] = now + self._hold_s
            logger.error(
                "the broker refuses messages on %.200s: %s; answering on %s",
                message.topic,
                reason,
                instead.topic,
            )
        self._put(instead)
        return True

    def _rest_lane(self, lane: str) -> None:
        """Let a lane rest of which one message after the other ends connections."""
        struck = self._standing.struck
        struck[lane] += 1
        if struck[lane] > 1:
            rest_s = self._standing.quarantine.lane_rest_s(struck[lane])
            self._standing.held[lane] = time.monotonic() + rest_s
