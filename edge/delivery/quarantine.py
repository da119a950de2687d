"""Finds the messages over which connections end, and keeps them from ending more. Pure.

A broker may close the connection over a message: it is too large, its topic too deep, or forbidden.
Whatever was on the wire when a connection ended is a suspect. The next connection sends each
suspect alone, and nothing else until its acknowledgement. A connection that ends while a suspect is
alone on the wire is a strike; after three strikes in a row the message is struck out.

A broker that is down is no proof against a message. It is known to be up once it has acknowledged
another message. The message that is always the first has no other before it: there the answer to a
ping must do, and the first rest is short, in case the broker takes no message at all.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

Key = int | str
"""Number of a message of the outbox, or topic of any other message."""

STRIKES: Final = 3
# First rest of a message that only a ping speaks against, as a part of ``rest_s``; it doubles.
_FIRST_REST: Final = 1 / 64


class Quarantine:
    """Suspects, strikes and quarantined messages; lasts from one connection to the next.

    Args:
        rest_s: Seconds for which a message in quarantine is not sent.
    """

    def __init__(self, rest_s: float) -> None:
        self._rest_s = rest_s
        self._suspects: set[Key] = set()
        self._strikes: Counter[Key] = Counter()
        self._rests: dict[Key, float] = {}
        self._until: dict[Key, float] = {}
        self._topics: dict[Key, str] = {}

    @property
    def topics(self) -> tuple[str, ...]:
        """Topics of the messages in quarantine."""
        return tuple(sorted(set(self._topics.values())))

    @property
    def suspicious(self) -> bool:
        """Whether there are suspects."""
        return bool(self._suspects)

    def suspects(self, key: Key) -> bool:
        """Whether a message must be alone on the wire."""
        return key in self._suspects

    def holds(self, key: Key) -> bool:
        """Whether a message is in quarantine."""
        return key in self._until

    def held(self) -> list[Key]:
        """Messages in quarantine."""
        return list(self._until)

    def broken(self, on_the_wire: Sequence[Key], *, answered: bool) -> Key | None:
        """Learn from the end of a connection; return the message that it strikes out, if any.

        Args:
            on_the_wire: Messages that were sent and not acknowledged.
            answered: Whether the broker had acknowledged another message on this connection, or
                answered a ping. One that answers nothing may be down, and no message is to blame.
        """
        struck = None
        if len(on_the_wire) == 1 and answered and self.suspects(on_the_wire[0]):
            (key,) = on_the_wire
            self._strikes[key] += 1
            struck = key if self._strikes[key] >= STRIKES else None
        self._suspects = {*on_the_wire, *self._strikes}
        return struck

    def acknowledged(self, key: Key) -> None:
        """Clear a message of suspicion."""
        self._suspects.discard(key)
        self._strikes.pop(key, None)
        self._rests.pop(key, None)

    def add(self, key: Key, topic: str, now: float, *, sure: bool = True) -> None:
        """Put a message into quarantine; one strike more puts it back there.

        Args:
            key: The message.
            topic: Its topic.
            now: Monotonic seconds.
            sure: Whether the broker takes other messages.
        """
        longer_s = 2 * self._rests.get(key, self._rest_s * _FIRST_REST / 2)
        self._rests[key] = self._rest_s if sure else min(self._rest_s, longer_s)
        self._until[key] = now + self._rests[key]
        self._topics[key] = topic

    def lane_rest_s(self, struck: int) -> float:
        """Return how long a lane rests of which so many messages in a row were struck out.

        One may be to blame itself. From the second on it is likely to be their topic, of which the
        next message would end connections too.
        """
        return min(self._rest_s, self._rest_s * _FIRST_REST * 2.0 ** (struck - 2))

    def release(self, now: float) -> bool:
        """Let those go whose time is over, as suspects; return whether there are any."""
        over = [key for key, until in self._until.items() if until <= now]
        for key in over:
            del self._until[key], self._topics[key]
        return bool(over)
