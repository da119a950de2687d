"""Decides where answers go, and makes their messages. Pure.

A sender names the topic of its answer. The box has rights at the broker that the sender may lack,
so the box never answers on a topic that means something: not below its prefix, where boxes publish
and take commands, and not below Home Assistant's. A broker may end the connection over a topic that
is long or deep, so those are refused too.
"""

from dataclasses import dataclass
from typing import Final

from edge.config.models import HomeAssistantConfig
from edge.delivery.message import Message, Received
from edge.delivery.topics import Topics

# The limits of the strictest brokers are 256 bytes and 8 levels; mosquitto takes 200 levels.
_LONGEST_BYTES: Final = 256
_MOST_LEVELS: Final = 16
_LONGEST_CORRELATION: Final = 1024


@dataclass(frozen=True, slots=True)
class AnswerRoute:
    """Route of the answers of one box to commands and searches.

    Attributes:
        topics: Topics of the box.
        home: Home Assistant's topics, where the box describes itself.
    """

    topics: Topics
    home: HomeAssistantConfig

    def message(self, received: Received, payload: bytes, schema: str) -> Message:
        """Make the message that answers ``received``."""
        mark = received.correlation
        fits = mark is None or len(mark) <= _LONGEST_CORRELATION
        topic, ours = self.topic(received), self.topics.answer()
        return Message(
            topic,
            payload,
            "answer",
            None,
            1,
            False,
            "application/json",
            schema,
            correlation=mark if fits else None,
            otherwise=None if topic == ours else ours,
        )

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
