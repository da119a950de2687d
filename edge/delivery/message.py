"""Defines MQTT messages: one to store and send, and one received."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["alert", "snapshot", "embedding", "status", "state", "answer"]


@dataclass(frozen=True, slots=True)
class Message:
    """One MQTT message, ready to be stored and sent.

    Attributes:
        kind: Kind of message, which decides the order of sending and of dropping.
        camera: Name of the camera; None for messages of the device itself.
        schema: Value of the user property ``schema`` of MQTT 5.
        expiry_s: Message expiry interval of MQTT 5; None: the message does not expire.
        correlation: Correlation data of MQTT 5; in an answer, those of the request.
        otherwise: Message to send instead where the broker refuses ``topic``; None: there is none.
    """

    topic: str
    payload: bytes
    kind: Kind
    camera: str | None
    qos: Literal[0, 1]
    retain: bool
    content_type: str
    schema: str | None = None
    expiry_s: int | None = None
    correlation: bytes | None = None
    otherwise: "Message | None" = None

    @property
    def size(self) -> int:
        """Size in memory, about, in bytes."""
        return len(self.payload) + len(self.topic) + len(self.correlation or b"")

    @property
    def lane(self) -> str:
        """Lane of the message (camera and kind); a lane's messages are delivered in order."""
        return f"{self.camera}/{self.kind}"


@dataclass(frozen=True, slots=True)
class Received:
    """One MQTT message that arrived on a subscription.

    Attributes:
        retain: Whether the broker had retained it, that is, it was published before we subscribed.
        response: Topic for the answer (MQTT 5); None where no answer is wanted.
        correlation: Correlation data that the answer must carry (MQTT 5).
    """

    topic: str
    payload: bytes
    retain: bool = False
    content_type: str | None = None
    response: str | None = None
    correlation: bytes | None = None

    @property
    def size(self) -> int:
        """Size in memory, about, in bytes."""
        texts = (self.topic, self.payload, self.content_type, self.response, self.correlation)
        return sum(len(text) for text in texts if text is not None)
