"""Which alerts are on: a retained word for each rule on each camera. Pure, time injected."""

from collections.abc import Iterable, Mapping
from typing import Final

from edge.control.states import alerting_message
from edge.delivery.payloads import Message, Topics

Pair = tuple[str, str]
"""Camera and rule."""

# So long a test alert is on: long enough for whoever watches the topic.
TEST_S: Final = 3.0


class AlertBoard:
    """Remembers what was told last, so that only changes are told."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._told: dict[Pair, bool] = {}
        self._tests: dict[Pair, float] = {}

    def test(self, pairs: Iterable[Pair], now: float) -> None:
        """Show these as on for a moment, from ``now`` in monotonic seconds."""
        self._tests |= dict.fromkeys(pairs, now + TEST_S)

    def changes(self, alerting: Mapping[Pair, bool], now: float) -> list[Message]:
        """What to publish.

        Args:
            alerting: Every rule on every camera that it watches, and whether its alert runs.
            now: Monotonic seconds.
        """
        self._tests = {pair: until for pair, until in self._tests.items() if until > now}
        shown = {pair: on or pair in self._tests for pair, on in alerting.items()}
        changed = {pair: on for pair, on in shown.items() if self._told.get(pair) != on}
        self._told = shown
        return [
            alerting_message(self._topics, camera, rule, on=on)
            for (camera, rule), on in changed.items()
        ]
