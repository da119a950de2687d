"""Shows which alerts run: a retained ``ON`` or ``OFF`` for each rule on each camera. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final

from edge.control.announce.messages import alerting_message
from edge.delivery.message import Message
from edge.delivery.topics import Topics

Pair = tuple[str, str]
"""Camera and rule."""

# A test alert is shown for so long that whoever watches the topic sees it.
TEST_S: Final = 3.0


class AlertingTopics:
    """Remembers the last word on each topic, so that only changes are published.

    Args:
        topics: Topics of the box.
    """

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._shown: dict[Pair, bool] = {}
        self._tests: dict[Pair, float] = {}

    def test(self, pairs: Iterable[Pair], now: float) -> None:
        """Show these as on for ``TEST_S`` from ``now``, in monotonic seconds."""
        self._tests |= dict.fromkeys(pairs, now + TEST_S)

    def changes(self, alerting: Mapping[Pair, bool], now: float) -> list[Message]:
        """Messages for what has changed.

        Args:
            alerting: Whether an alert runs, for every camera and every rule that watches it.
            now: Monotonic seconds.
        """
        self._tests = {pair: until for pair, until in self._tests.items() if until > now}
        shown = {pair: on or pair in self._tests for pair, on in alerting.items()}
        changed = {pair: on for pair, on in shown.items() if self._shown.get(pair) != on}
        self._shown = shown
        return [
            alerting_message(self._topics, camera, rule, on=on)
            for (camera, rule), on in changed.items()
        ]
