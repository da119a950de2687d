"""Defines what a broker accepts on a connection: its CONNACK says so (MQTT 5, 3.2.2.3). Pure."""

from dataclasses import dataclass, replace
from typing import Final, Literal

from edge.delivery.message import Message

Feature = Literal["retain", "qos", "wildcards"]
"""Retained messages, QoS 1, and wildcards in subscriptions: what a broker may not have."""

# Unacknowledged messages of a broker that names no limit (MQTT 5, section 3.2.2.3.3).
_MANY: Final = 65_535
# A picture of ``snapshots.max_width`` has about 100 KB.
_ROOMY: Final = 128 * 1024


@dataclass(frozen=True, slots=True)
class Terms:
    """What a broker accepts; the defaults hold for a broker that says nothing.

    Attributes:
        receive_maximum: Largest number of QoS 1 messages that it has not acknowledged.
        max_packet: Size in bytes of the largest packet; None: no limit.
        max_qos: Highest QoS.
        retain: Whether it keeps retained messages.
        wildcards: Whether subscriptions may have wildcards.
        keepalive_s: Keep-alive that it asks for instead of ours, seconds; 0: none at all.
        client_id: Name that it gave us instead of ours.
    """

    receive_maximum: int = _MANY
    max_packet: int | None = None
    max_qos: Literal[0, 1] = 1
    retain: bool = True
    wildcards: bool = True
    keepalive_s: int | None = None
    client_id: str | None = None

    @property
    def shortfalls(self) -> tuple[str, ...]:
        """What will not work, one sentence each."""
        found = []
        if not self.retain:
            found.append(
                "it keeps no retained messages: who subscribes later misses status, states, rules"
                " and the description for Home Assistant until the box publishes them again"
            )
        if self.max_qos == 0:
            found.append(
                "it takes QoS 0 only and acknowledges nothing: alerts that are on their way when"
                " a connection breaks are lost"
            )
        if not self.wildcards:
            found.append(
                "it allows no wildcards in subscriptions: single settings do not arrive over MQTT"
            )
        if self.max_packet is not None and self.max_packet < _ROOMY:
            found.append(
                f"it takes packets of up to {self.max_packet} bytes: larger messages are dropped;"
                " lower snapshots.max_width"
            )
        return tuple(found)


def terms_of(connack: object, without: frozenset[Feature]) -> Terms:
    """Return the terms of a CONNACK.

    Limits of 0, which MQTT forbids, count as no limit: taken at their word, nothing could be sent.

    Args:
        connack: Its properties, those that the broker sent as attributes; None over MQTT 3.1.1.
        without: What the broker refused earlier, whatever it says now.
    """
    return Terms(
        receive_maximum=getattr(connack, "ReceiveMaximum", 0) or _MANY,
        max_packet=getattr(connack, "MaximumPacketSize", 0) or None,
        max_qos=0 if "qos" in without or getattr(connack, "MaximumQoS", 1) == 0 else 1,
        retain="retain" not in without and getattr(connack, "RetainAvailable", 1) != 0,
        wildcards="wildcards" not in without
        and getattr(connack, "WildcardSubscriptionAvailable", 1) != 0,
        keepalive_s=getattr(connack, "ServerKeepAlive", None),
        client_id=getattr(connack, "AssignedClientIdentifier", None),
    )


def lowered(message: Message, terms: Terms) -> Message:
    """Return the message as the broker accepts it: not retained, or with QoS 0."""
    if terms.retain >= message.retain and terms.max_qos >= message.qos:
        return message
    return replace(
        message,
        retain=message.retain and terms.retain,
        qos=message.qos if terms.max_qos else 0,
    )
