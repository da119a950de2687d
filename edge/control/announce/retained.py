"""Remembers which retained messages lie at the broker, and removes those of rules that are gone.

A broker keeps a retained message for ever, and Home Assistant an entity. So what was published is
written down: a rule that goes, even while the daemon is off, is removed there too.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from edge.control.announce.messages import emptied
from edge.delivery.message import Message
from edge.system.atomic_file import write_atomically

logger = logging.getLogger(__name__)

# Entities that are gone stay in the description of the device, to be removed by a Home Assistant
# that was off meanwhile: so many of them.
_GONE: Final = 500


class _Left(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    topics: frozenset[str] = frozenset()
    components: dict[str, str] = {}


class Retained:
    """The retained messages that exist because of the rules.

    Args:
        path: File of the topics. Where it is unreadable or unwritable, old messages may stay.
        publish: Sends a message.

    Attributes:
        components: Platform of each entity that exists or existed, by key.
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
        """Publish what is new or changed, and remove what is gone.

        Args:
            messages: All messages that shall be retained.
            others: Topics that another part publishes to; they are only removed here.
            components: Platform of each entity that exists, by key.
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
        try:
            write_atomically(self._path, left.model_dump_json().encode())
        except OSError as exc:
            logger.warning("%s is not written: %s", self._path, exc)
