"""The types of the fixtures that start publishers and make small messages for an outbox."""

from collections.abc import Callable
from typing import Protocol

from edge.config.models import MqttConfig
from edge.delivery.inbox import Inbox
from edge.delivery.message import Kind, Message
from edge.delivery.publisher import Publisher, PublisherTimings
from edge.system.backoff import Backoff, RetryPolicy

SOON = RetryPolicy(
    unreachable=Backoff(first_s=0.05, cap_s=0.2, shortest_share=0.5),
    refused=Backoff(first_s=0.2, cap_s=0.2, shortest_share=1.0),
)
TIMINGS = PublisherTimings()


class StartPublisher(Protocol):
    """Starts a publisher of the fixture's outbox, which hardly waits between connections."""

    def __call__(
        self,
        config: MqttConfig,
        on_delivered: Callable[[Message, float], None] | None = None,
        *,
        inbox: Inbox | None = None,
        retry: RetryPolicy = SOON,
        timings: PublisherTimings = TIMINGS,
    ) -> Publisher: ...


class MakeMessage(Protocol):
    """Makes a small message of a kind and a body; its content matters to nobody."""

    def __call__(self, kind: Kind, body: bytes | int, camera: str = "yard") -> Message: ...
