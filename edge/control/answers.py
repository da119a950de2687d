"""Decides where answers go, and makes their messages. Pure.

A sender names the topic of its answer. The box has rights at the broker that the sender may lack,
so the box never answers on a topic that means something: not below its prefix, where boxes publish
and take commands, and not below Home Assistant's. A broker may end the connection over a topic that
is long or deep, so those are refused too.

Where an answer cannot go to the topic that was asked for, it goes to the box's own, which others
read. What only its asker may know is replaced there by the reason in words.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from edge.config.models import HomeAssistantConfig
from edge.delivery.message import Message, Received
from edge.delivery.topics import Topics

# The limits of the strictest brokers are 256 bytes and 8 levels; mosquitto takes 200 levels.
_LONGEST_BYTES: Final = 256
_MOST_LEVELS: Final = 16
_LONGEST_CORRELATION: Final = 1024

_NOT_ALLOWED: Final = "the topic that was asked for is not one to answer on (docs/mqtt.md, Answers)"
_REFUSED: Final = "the broker refuses the topic that was asked for"


@dataclass(frozen=True, slots=True)
class AnswerRoute:
    """Route of the answers of one box to commands and searches.

    Attributes:
        topics: Topics of the box.
        home: Home Assistant's topics, where the box describes itself.
    """

    topics: Topics
    home: HomeAssistantConfig

    def message(
        self,
        received: Received,
        payload: bytes,
        schema: str,
        in_words: Callable[[str], bytes] | None = None,
    ) -> Message:
        """Make the message that answers ``received``.

        Args:
            received: The request.
            payload: Answer.
            schema: Its schema.
            in_words: Makes of a reason the answer on the box's own topic where another was asked
                for; None: the same answer goes there.
        """
        mark = received.correlation
        fits = mark is None or len(mark) <= _LONGEST_CORRELATION
        topic, ours = self.topic(received), self.topics.answer()
        message = Message(
            topic,
            payload,
            "answer",
            None,
            1,
            False,
            "application/json",
            schema,
            correlation=mark if fits else None,
        )
        if topic == (received.response or ours):
            refused = payload if in_words is None else in_words(_REFUSED)
            other = None if topic == ours else replace(message, topic=ours, payload=refused)
            return replace(message, otherwise=other)
        return message if in_words is None else replace(message, payload=in_words(_NOT_ALLOWED))

    def topic(self, received: Received) -> str:
        """Topic of the answer: the one that the sender asks for if it does no harm, else ours."""
        wanted, ours = received.response, self.topics.answer()
        if wanted is None or wanted == ours or not _harmless(wanted):
            return ours
        if wanted.startswith(f"{ours}/"):
            return wanted
        taken = (self.topics.prefix, self.home.prefix, self.home.birth)
        return ours if any(f"{wanted}/".startswith(f"{topic}/") for topic in taken) else wanted


def _harmless(topic: str) -> bool:
    """Whether every broker takes this topic, as far as its text shows."""
    return (
        topic.isprintable()
        and not set(topic) & set("+#")
        and not topic.startswith("$")
        and 0 < len(topic.encode()) <= _LONGEST_BYTES
        and topic.count("/") < _MOST_LEVELS
    )
