"""Decides what becomes of a message that the broker refuses, or over which connections end.

It is dropped, or it waits: alone, or with its lane.
"""

import logging
import time
from dataclasses import dataclass
from typing import Final

from edge.delivery.message import Message
from edge.delivery.quarantine import STRIKES, Key
from edge.delivery.standing import Standing

logger = logging.getLogger(__name__)

# MQTT 5 reason codes of a PUBACK (section 3.4.2.1).
_TOPIC_NAME_INVALID, _PACKET_TOO_LARGE, _PAYLOAD_FORMAT_INVALID = 0x90, 0x95, 0x99
# Refusals that are final for a message. Any other one may be temporary: rights and quotas change.
_HOPELESS: Final = {_TOPIC_NAME_INVALID, _PACKET_TOO_LARGE, _PAYLOAD_FORMAT_INVALID}


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
    """

    def __init__(self, standing: Standing, hold_s: float) -> None:
        self._standing = standing
        self._hold_s = hold_s

    def answered(self, item: Outgoing, code: int, reason: str, now: float) -> bool:
        """Take the broker's no to a message; return whether its lane waits now."""
        if code in _HOPELESS:
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

        Args:
            item: The message.
            sound: Whether the broker has taken another message; until then none is dropped.

        Returns:
            Whether it is dropped.
        """
        stored = item.seq is not None
        kept = item.message.kind == "alert" if stored else item.message.retain
        if stored:
            self._rest_lane(item.message.lane)
        if not kept and sound:
            self.drop(item, f"the broker closes the connection on it, {STRIKES} times in a row")
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
        if message.kind == "answer":
            elsewhere = message.otherwise
            then = "the answer is lost" if elsewhere is None else f"answering on {elsewhere}"
        if message.lane not in self._standing.held:
            logger.error("the broker refuses messages on %s: %s; %s", message.topic, reason, then)
        self._standing.held[message.lane] = now + self._hold_s

    def _rest_lane(self, lane: str) -> None:
        """Let a lane rest of which one message after the other ends connections."""
        struck = self._standing.struck
        struck[lane] += 1
        if struck[lane] > 1:
            rest_s = self._standing.quarantine.lane_rest_s(struck[lane])
            self._standing.held[lane] = time.monotonic() + rest_s
