"""RTP as bytes, against a naive depacketiser written from the RFCs alone."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.testing.clip import Codec
from edge.testing.protocol.rtp import CLOCK_HZ, MAX_PAYLOAD, RtpStream, interleaved, packetise


def depacketise(codec: Codec, payloads: list[bytes]) -> list[bytes]:
    """RTP payloads -> NAL units: single NAL units and fragments (RFC 6184 5.8, RFC 7798 4.4.3)."""
    nals: list[bytes] = []
    for payload in payloads:
        if codec == "h264":
            fragmented = payload[0] & 0x1F == 28
            flags, rest = payload[1], payload[2:]
            header = bytes([payload[0] & 0xE0 | flags & 0x1F])
        else:
            fragmented = payload[0] >> 1 & 0x3F == 49
            flags, rest = payload[2], payload[3:]
            header = bytes([payload[0] & 0x81 | (flags & 0x3F) << 1, payload[1]])
        if not fragmented:
            nals.append(payload)
        elif flags & 0x80:
            nals.append(header + rest)
        else:
            nals[-1] += rest
    return nals


def nal_units(codec: Codec, max_size: int) -> st.SearchStrategy[bytes]:
    """Any NAL unit of a type that a coder emits (fragments are not one)."""
    if codec == "h264":
        header = st.builds(
            lambda importance, kind: bytes([importance << 5 | kind]),
            st.integers(0, 3),
            st.integers(1, 23),
        )
    else:
        header = st.builds(
            lambda kind, layer, temporal: struct.pack(">H", kind << 9 | layer << 3 | temporal),
            st.integers(0, 47),
            st.integers(0, 63),
            st.integers(1, 7),
        )
    return st.builds(bytes.__add__, header, st.binary(min_size=1, max_size=max_size))


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@given(data=st.data(), limit=st.integers(8, 64))
def test_any_nal_unit_survives_packetisation_at_any_limit(
    codec: Codec, data: st.DataObject, limit: int
) -> None:
    nal = data.draw(nal_units(codec, max_size=400))
    payloads = packetise(codec, nal, limit)
    assert depacketise(codec, payloads) == [nal]
    assert max(map(len, payloads)) <= limit


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("size", [MAX_PAYLOAD - 1, MAX_PAYLOAD, MAX_PAYLOAD + 1, 100_000])
def test_sizes_around_the_limit_and_far_above_survive(codec: Codec, size: int) -> None:
    nal = (b"\x65\x88" if codec == "h264" else b"\x26\x01") + bytes(size - 2)
    payloads = packetise(codec, nal)
    assert depacketise(codec, payloads) == [nal]
    assert (len(payloads) > 1) == (size > MAX_PAYLOAD)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_fragment_never_starts_and_ends_at_once(codec: Codec) -> None:
    flags_at = 1 if codec == "h264" else 2
    payloads = packetise(codec, b"\x26\x01" + bytes(100), limit=101)
    assert [payload[flags_at] & 0xC0 for payload in payloads] == [0x80, 0x40]


def headers(packets: list[bytes]) -> list[tuple[int, int, int, int]]:
    """Marker, sequence number, timestamp and source of each RTP packet."""
    fields = [struct.unpack(">BBHII", packet[:12]) for packet in packets]
    assert {(first, second & 0x7F) for first, second, *_ in fields} == {(0x80, 96)}
    return [(second >> 7, sequence, time, ssrc) for _, second, sequence, time, ssrc in fields]


def test_packets_of_one_access_unit_share_its_time_and_only_the_last_is_marked() -> None:
    stream = RtpStream("h264", ssrc=7, sequence=65_534, origin=2**32 - CLOCK_HZ)
    packets = stream.packets([b"\x67abc", b"\x65" + bytes(2 * MAX_PAYLOAD)], time_s=1.5)
    assert headers(packets) == [
        (0, 65_534, CLOCK_HZ // 2, 7),
        (0, 65_535, CLOCK_HZ // 2, 7),
        (0, 0, CLOCK_HZ // 2, 7),
        (1, 1, CLOCK_HZ // 2, 7),
    ]


def test_a_sender_report_ties_stream_time_to_wall_time_and_counts() -> None:
    stream = RtpStream("h264", ssrc=7, sequence=0, origin=1000)
    stream.packets([b"\x41abcd", b"\x41efg"], time_s=0)
    compound = stream.sender_report(wall_s=0.5, time_s=2.0)
    version, kind, words, ssrc, ntp, time, packets, octets = struct.unpack(
        ">BBHIQIII", compound[:28]
    )
    assert (version, kind, words, ssrc) == (0x80, 200, 6, 7)
    assert ntp == (2_208_988_800 << 32) + (1 << 31)
    assert (time, packets, octets) == (1000 + 2 * CLOCK_HZ, 2, 9)
    version, kind, words, ssrc = struct.unpack(">BBHI", compound[28:36])
    assert (version, kind, ssrc) == (0x81, 202, 7)
    assert len(compound) == 28 + 4 * (words + 1)
    assert compound[36:].rstrip(b"\0") == b"\x01\x0cedge.testing"


def test_interleaved_framing_names_channel_and_length() -> None:
    assert interleaved(3, b"x" * 300) == b"$\x03\x01\x2c" + b"x" * 300
