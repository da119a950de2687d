"""Defines what the publisher says of itself."""

from dataclasses import dataclass

from edge.delivery.message import Kind


@dataclass(frozen=True, slots=True)
class PublisherHealth:
    """Health of the publisher.

    Attributes:
        running: Whether its thread is alive.
        protocol: MQTT version in use; None while not connected.
        error: Reason why there is no connection, or the error of the disk.
        delivered: Acknowledged messages since start, by kind.
        refused: Messages that the broker refused since start, by kind.
        forgotten: Messages lost from memory since start, because too many waited for a
            connection, by kind.
        quarantined: Topics of messages that wait because connections end over them.
    """

    running: bool
    protocol: str | None
    error: str | None
    delivered: dict[Kind, int]
    refused: dict[Kind, int]
    forgotten: dict[Kind, int]
    quarantined: tuple[str, ...] = ()
