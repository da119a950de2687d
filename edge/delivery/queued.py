"""Defines what the outbox gives: its messages in the order of sending, and their counts."""

from collections.abc import Sequence
from dataclasses import dataclass

from edge.delivery.message import Kind, Message
from edge.delivery.outbox_file import KINDS


@dataclass(frozen=True, slots=True)
class Queued:
    """Stored message. ``seq`` is unique while the process lives."""

    seq: int
    message: Message

    @property
    def place(self) -> tuple[int, int]:
        """Place in the order of sending."""
        return KINDS.index(self.message.kind), self.seq


@dataclass(frozen=True, slots=True)
class OutboxCounts:
    """Counts of the outbox.

    Attributes:
        queued: Messages stored now, by kind.
        bytes: Size of the stored messages.
        dropped: Messages dropped undelivered, by kind, since the outbox exists (over restarts).
        damaged: Number of times that the file was set aside since the process started.
    """

    queued: dict[Kind, int]
    bytes: int
    dropped: dict[Kind, int]
    damaged: int


def in_order(read: Sequence[Queued], young: Sequence[Queued], *, whole: bool) -> list[Queued]:
    """Bring what was read from the file and what is in memory alone into the order of sending.

    Args:
        read: What was read, in order.
        young: What is in memory alone.
        whole: Whether nothing was left unread, which would come before some of ``young``.
    """
    if not young:
        return list(read)
    last = read[-1].place if read and not whole else None
    now = [queued for queued in young if last is None or queued.place < last]
    return sorted([*read, *now], key=lambda queued: queued.place)
