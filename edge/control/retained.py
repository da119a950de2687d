"""What we left at the broker: retained messages of things that may go.

A broker keeps a retained message for ever, and Home Assistant an entity. So a rule that goes, or
goes while we are off, is taken back there: what was published is written down.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from edge.control.states import emptied
from edge.delivery.payloads import Message

logger = logging.getLogger(__name__)

# Entities that are gone stay in the description of the device, to be removed by a Home Assistant
# that was off meanwhile: so many of them.
_GONE: Final = 500


class _Left(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    topics: frozenset[str] = frozenset()
    components: dict[str, str] = {}


class Retained:
    """The retained messages that are the rules' doing.

    Args:
        path: Where it is written down. Unreadable or unwritable: old messages may stay.
        publish: Sends a message.

    Attributes:
        components: Platforms of all entities that there are or were, by key.
    """

    def __init__(self, path: Path, publish: Callable[[Message], None]) -> None:
        self._path = path
        self._publish = publish
        self._payloads: dict[str, bytes] = {}
        left = self._load()
        self._topics = left.topics
        self.components = left.components

    def replace(
        self,
        messages: Sequence[Message],
        others: Iterable[str],
        components: Mapping[str, str],
    ) -> None:
        """Publish what is new or changed, take back what is no more.

        Args:
            messages: All that there shall be.
            others: Topics that somebody else publishes to: only taken back here.
            components: Platforms of the entities that there are, by key.
        """
        topics = frozenset(message.topic for message in messages) | frozenset(others)
        gone = {key: p for key, p in self.components.items() if key not in components}
        self.components = dict(list(gone.items())[-_GONE:]) | dict(components)
        for topic in sorted(self._topics - topics):
            self._payloads.pop(topic, None)
            self._publish(emptied(topic))
        self._topics = topics
        self._save()
        for message in messages:
            if self._payloads.get(message.topic) != message.payload:
                self._payloads[message.topic] = message.payload
                self._publish(message)

    def _load(self) -> _Left:
        try:
            return _Left.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return _Left()
        except (OSError, ValidationError) as exc:
            reason = str(exc).partition("\n")[0]
            logger.warning("%s: %s; old messages may stay at the broker", self._path, reason)
            return _Left()

    def _save(self) -> None:
        left = _Left(topics=self._topics, components=self.components)
        new = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(left.model_dump_json(), "utf-8")
            new.replace(self._path)
        except OSError as exc:
            logger.warning("%s is not written: %s", self._path, exc)
