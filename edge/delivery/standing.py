"""Keeps the state of the delivery that lasts from one connection to the next."""

from collections import Counter
from dataclasses import dataclass, field

from edge.delivery.message import Kind
from edge.delivery.quarantine import Quarantine


@dataclass
class Standing:
    """State of the delivery that lasts from one connection to the next.

    Attributes:
        quarantine: Messages over which connections end.
        held: Lanes that the broker refused, with the monotonic second of the next attempt.
        struck: Number of messages of a lane that were struck out, one after the other.
        finished: Messages to delete from the outbox, and whether they were dropped. They stay here
            while the disk fails, so that they are not sent again.
        delivered: Acknowledged messages of the outbox since start, by kind.
        refused: Messages that the broker refused since start, by kind; not those that were sent on
            another topic instead.
        named: Topics of answers that the broker refused and the log has named, with the monotonic
            second from which on it names them again.
    """

    quarantine: Quarantine
    held: dict[str, float] = field(default_factory=dict)
    struck: Counter[str] = field(default_factory=Counter)
    finished: dict[int, bool] = field(default_factory=dict)
    delivered: Counter[Kind] = field(default_factory=Counter)
    refused: Counter[Kind] = field(default_factory=Counter)
    named: dict[str, float] = field(default_factory=dict)
