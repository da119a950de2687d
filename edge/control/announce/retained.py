"""Remembers which retained messages lie at brokers, and removes those that the box no longer has.

A broker keeps a retained message for ever, and Home Assistant an entity. So each topic is written
down before the first message on it, and stays there until the broker has taken the empty message
that removes it. What goes while the daemon is off, or shortly before a crash, is removed at the
next start: a camera, a rule, discovery, all topics of an earlier name of the box.

The name that a box had may be another box's now, as on a disk that was copied. So the topics of an
earlier name are removed only once the status there says that no box is at work.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from edge.control.announce.messages import emptied
from edge.control.announce.record import (
    RETAINED,
    Left,
    Place,
    RetainedRecord,
    load_record,
    write_record,
)
from edge.delivery.message import Message
from edge.errors import SideFileError

logger = logging.getLogger(__name__)

# Entities that are gone stay in the description of the device, to be removed by a Home Assistant
# that was off meanwhile: so many of them.
_GONE: Final = 500
# Brokers and names of the box that are remembered, the newest ones.
_PLACES: Final = 16
_AT_WORK: Final = (b"online", b"degraded")


class Retained:
    """The retained messages of the box. May be called from any thread.

    Args:
        path: File of the topics. While it is unreadable or unwritable, old messages may stay.
        place: Broker and name of the box.
        publish: Sends a message.

    Attributes:
        components: Platform of each entity that exists or existed, by key.
        name: Name of the file, for reports.
    """

    name: Final = RETAINED

    def __init__(self, path: Path, place: Place, publish: Callable[[Message], None]) -> None:
        self._path = path
        self._place = place
        self._publish = publish
        self._lock = threading.Lock()  # of what follows
        self._disk = threading.Lock()  # of the file; the publisher's thread never waits for it
        self._payloads: dict[str, bytes] = {}
        self._present: frozenset[str] = frozenset()
        self._left: dict[Place, frozenset[str]] = {}
        self._components: dict[Place, dict[str, str]] = {}
        self.components: dict[str, str] = {}
        self._unread = self._unwritten = False
        try:
            self._take(load_record(path))
        except SideFileError:
            self._unread = True

    def expect(self, topics: Iterable[str]) -> None:
        """Write down topics before anything is published on them."""
        with self._lock:
            known = self._left.get(self._place, frozenset())
            expected = known.union(topics)
            self._left[self._place] = expected
        if expected != known:
            self._save()

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
        present = frozenset(message.topic for message in messages) | frozenset(others)
        gone = {key: p for key, p in self.components.items() if key not in components}
        self.components = dict(list(gone.items())[-_GONE:]) | dict(components)
        with self._lock:
            before, self._present = self._present, present
            known = self._known()
            self._left[self._place] = self._left.get(self._place, frozenset()) | present
            self._components[self._place] = self.components
        self._save()
        # At the first time all that is left from earlier; later what this call has removed.
        for topic in sorted((before or known) - present):
            self._payloads.pop(topic, None)
            self._publish(emptied(topic))
        for message in messages:
            if self._payloads.get(message.topic) != message.payload:
                self._payloads[message.topic] = message.payload
                self._publish(message)

    def flush(self) -> None:
        """Read the file where it could not be read before, and write what waits.

        Raises:
            SideFileError: It cannot be done now.
        """
        gone: frozenset[str] = frozenset()
        if self._unread:
            record = load_record(self._path)
            with self._lock:
                self._take(record)
                self._unread, self._unwritten = False, True
                # ``replace`` has not known of these.
                gone = self._known() - self._present if self._present else gone
        for topic in sorted(gone):
            self._publish(emptied(topic))
        if self._unwritten:
            self._write()

    def hear_former(self, topic: str, status: bytes) -> None:
        """Remove everything of an earlier name whose status says that no box is at work there."""
        with self._lock:
            left = [
                topics
                for place, topics in self._left.items()
                if place.status == topic and not place.is_named_as(self._place)
            ]
            gone = frozenset().union(*left) - self._present
        if not gone or not status:
            return
        if status in _AT_WORK:
            logger.warning("%s says %s: what this box left there stays", topic, status.decode())
            return
        logger.info("removing %d retained messages of the earlier name at %s", len(gone), topic)
        # The status goes last: while it is there, the next start finds what a crash leaves.
        for one in sorted(gone, key=lambda name: (name == topic, name)):
            self._publish(emptied(one))

    def removed(self, topic: str) -> None:
        """Forget a topic: the broker has taken the empty message that removes it."""
        with self._lock:
            here = [place for place in self._left if place.broker == self._place.broker]
            for place in here:
                if topic not in self._present:
                    self._left[place] -= {topic}
            empty = [place for place in here if not self._left[place]]
            for place in empty:
                del self._left[place]
                self._components.pop(place, None)
            # One write for many topics: what a crash forgets to forget is removed once more. This
            # is the publisher's thread, so ``flush`` writes.
            ours = self._left.get(self._place, frozenset())
            self._unwritten = self._unwritten or bool(empty) or ours == self._present

    def _take(self, record: RetainedRecord) -> None:
        """Add what an earlier start has written down."""
        for left in record.left:
            place = left.place
            self._left[place] = self._left.get(place, frozenset()) | left.topics
            self._components[place] = left.components | self._components.get(place, {})
            if place.is_named_as(self._place):
                self.components = left.components | self.components

    def _known(self) -> frozenset[str]:
        """Return all topics at brokers where the box has this name."""
        ours = [topics for place, topics in self._left.items() if place.is_named_as(self._place)]
        return frozenset().union(*ours)

    def _save(self) -> None:
        """Write the file; what cannot be written now waits for ``flush``."""
        self._unwritten = True
        if not self._unread:  # nothing is replaced by less
            with contextlib.suppress(SideFileError):
                self._write()

    def _write(self) -> None:
        with self._disk:
            with self._lock:
                record = self._record()
                self._unwritten = False
            try:
                write_record(self._path, record)
            except SideFileError:
                self._unwritten = True
                raise

    def _record(self) -> RetainedRecord:
        newest = [place for place in self._left if place != self._place][1 - _PLACES :]
        return RetainedRecord(
            left=tuple(
                Left(
                    place=place,
                    topics=self._left[place],
                    components=self._components.get(place, {}),
                )
                for place in (*newest, self._place)
                if place in self._left
            )
        )
