"""Reads a PUBLISH packet that the broker sends. Pure.

The client library reads each property into an object and copies the rest of the packet for each:
250 KB of tiny user properties take it 19 s (measured). It also ends the connection over text that
brokers pass on, such as a zero-width no-break space. Whoever may send one command could so keep the
box from its alerts. Here reading is linear, and the text of a sender costs nobody the connection.
"""

import struct
from typing import Final

from edge.delivery.message import Received

# Properties by their identifiers (MQTT 5, section 2.2.2.2): those of a fixed size in bytes, those
# that begin with a length, and the rest that is read.
_SIZES: Final = {0x01: 1, 0x02: 4, 0x23: 2}
_CONTENT_TYPE, _RESPONSE_TOPIC, _CORRELATION = 0x03, 0x08, 0x09
_SIZED: Final = {_CONTENT_TYPE, _RESPONSE_TOPIC, _CORRELATION}
_SUBSCRIPTION_ID, _USER_PROPERTY = 0x0B, 0x26
_LONGEST_NUMBER: Final = 4


def read_publish(header: int, packet: bytes, *, mqtt5: bool) -> tuple[int | None, Received | None]:
    """Read a packet.

    Args:
        header: First byte of the packet.
        packet: What follows the length of the packet.
        mqtt5: Whether the packet has properties.

    Returns:
        Number of the packet, which must be acknowledged; None with QoS 0. And the message; None
        where its topic is no UTF-8, and so none of ours.

    Raises:
        ValueError: The packet breaks off, or has a property that MQTT does not know.
    """
    try:
        topic, at = _sized(packet, 0)
        number = None
        if header & 0x06:
            (number,) = struct.unpack_from("!H", packet, at)
            at += 2
        found: dict[int, bytes] = {}
        if mqtt5:
            size, at = _number(packet, at)
            properties, at = _bytes(packet, at, size)
            found = _properties(properties)
    except (struct.error, IndexError) as exc:
        raise ValueError("the packet breaks off") from exc
    name = _text(topic)
    if name is None:
        return number, None
    received = Received(
        name,
        packet[at:],
        bool(header & 0x01),
        _text(found.get(_CONTENT_TYPE)),
        _text(found.get(_RESPONSE_TOPIC)),
        found.get(_CORRELATION),
    )
    return number, received


def _properties(data: bytes) -> dict[int, bytes]:
    """Return the properties that begin with a length."""
    found, at = {}, 0
    while at < len(data):
        kind, at = data[at], at + 1
        if kind in _SIZED:
            found[kind], at = _sized(data, at)
        elif kind in _SIZES:
            at += _SIZES[kind]
        elif kind == _SUBSCRIPTION_ID:
            _, at = _number(data, at)
        elif kind == _USER_PROPERTY:
            _, at = _sized(data, at)
            _, at = _sized(data, at)
        else:
            raise ValueError(f"unknown property {kind:#x}")
    return found


def _sized(data: bytes, at: int) -> tuple[bytes, int]:
    """Read bytes with their length in front; also return where they end."""
    (size,) = struct.unpack_from("!H", data, at)
    return _bytes(data, at + 2, size)


def _bytes(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    """Read bytes; also return where they end."""
    end = at + size
    if end > len(data):
        raise IndexError
    return data[at:end], end


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Read a number of variable length; also return where it ends."""
    value = 0
    for place in range(_LONGEST_NUMBER):
        byte = data[at + place]
        value |= (byte & 0x7F) << 7 * place
        if not byte & 0x80:
            return value, at + place + 1
    raise ValueError("a length of more than four bytes")


def _text(data: bytes | None) -> str | None:
    try:
        return None if data is None else data.decode()
    except UnicodeDecodeError:
        return None
