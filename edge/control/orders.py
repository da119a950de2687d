"""Hands orders to the daemon's loop, which carries them out between two samples.

Each order comes with a future: whoever gives the order can wait for its end.
"""

import queue
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass

from edge.alerts.messages import StartedAlert
from edge.alerts.rule_set import RuleSet
from edge.config.models import CameraConfig
from edge.model.bundle.manifest import Role
from edge.scoring.open import Running


@dataclass(frozen=True, slots=True)
class Adopt:
    """Order: go on with these rules, and with these cameras.

    Attributes:
        rules: The rules.
        cameras: Settings of the cameras by name; None: as before.
    """

    rules: RuleSet
    cameras: Mapping[str, CameraConfig] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class RateAlert:
    """Order: learn from what a person said of an alert.

    Attributes:
        alert: The alert.
        correct: Whether it was right; false for a false alarm.
    """

    alert: StartedAlert
    correct: bool


@dataclass(frozen=True, slots=True)
class TryAlert:
    """Order: publish a test alert of a rule."""

    rule: str


@dataclass(frozen=True, slots=True, eq=False)
class TakeOver:
    """Order: go on with other engines of the same graphs.

    Attributes:
        graphs: An open engine, which has passed its self-test, for each graph.
    """

    graphs: Mapping[Role, Running]


Order = Adopt | RateAlert | TakeOver | TryAlert


class Orders:
    """Queue of orders. Any thread may give, the loop's thread takes.

    Args:
        wake: Called when an order waits.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._waiting: queue.SimpleQueue[tuple[Order, Future[None]]] = queue.SimpleQueue()

    def give(self, order: Order) -> "Future[None]":
        """Queue an order; the future is done once the loop has carried it out."""
        future: Future[None] = Future()
        self._waiting.put((order, future))
        self._wake()
        return future

    def take(self) -> "Iterator[tuple[Order, Future[None]]]":
        """Take every order that waits, oldest first."""
        while not self._waiting.empty():
            yield self._waiting.get()

    @property
    def waiting(self) -> int:
        """Number of orders that nobody has taken yet."""
        return self._waiting.qsize()
