"""Splits packets and parameter sets into NAL units, with start codes or with lengths."""

from collections.abc import Generator, Iterator
from typing import Final

_START: Final = b"\0\0\1"
# Where the records of MP4 (avcC, hvcC) say how long a length is, and where their units begin.
_LENGTH_AT: Final = {"h264": 4, "hevc": 21}


def length_bytes(codec: str, extradata: bytes) -> int:
    """Return the bytes of a unit's length in this stream's packets; 0 where start codes are used.

    Args:
        codec: FFmpeg's name of the codec.
        extradata: What the container says of it.
    """
    at = _LENGTH_AT[codec]
    return (extradata[at] & 3) + 1 if len(extradata) > at and extradata[0] == 1 else 0


def units(data: bytes, length: int) -> Iterator[bytes]:
    """Split a packet.

    Args:
        data: The packet.
        length: Bytes of a unit's length, 0 for start codes.
    """
    if length:
        at = 0
        while at + length < len(data):
            size = int.from_bytes(data[at : at + length], "big")
            at += length
            yield data[at : at + size]
            at += size
        return
    at = data.find(_START)
    while at >= 0:
        following = data.find(_START, at + 3)
        yield data[at + 3 : following if following >= 0 else len(data)]
        at = following


def parameter_sets(codec: str, extradata: bytes) -> Iterator[bytes]:
    """Split what the container says of a codec into its units."""
    if not length_bytes(codec, extradata):
        yield from units(extradata, 0)
    elif codec == "h264":
        at = 5
        for mask in (31, 255):
            count, at = extradata[at] & mask, at + 1
            at = yield from _listed(extradata, at, count)
    else:
        arrays, at = extradata[22], 23
        for _ in range(arrays):
            count = int.from_bytes(extradata[at + 1 : at + 3], "big")
            at = yield from _listed(extradata, at + 3, count)


def _listed(data: bytes, at: int, count: int) -> Generator[bytes, None, int]:
    """Yield ``count`` units with lengths of two bytes; return where the next thing begins."""
    for _ in range(count):
        size = int.from_bytes(data[at : at + 2], "big")
        yield data[at + 2 : at + 2 + size]
        at += 2 + size
    return at
