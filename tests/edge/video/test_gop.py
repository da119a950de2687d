from typing import cast

import av
import pytest

from edge.video.gop import Gop
from edge.video.packet import Packet
from edge.video.sample import Arrival


def packet(number: int, *, key: bool = False, size: int = 100) -> Packet:
    data = cast("av.Packet[av.VideoStream]", av.Packet(1))
    return Packet(Arrival(0.0, number / 10, None), key, size, data)


def numbers(packets: list[Packet]) -> list[int]:
    return [round(one.arrival.monotonic * 10) for one in packets]


def test_a_chain_begins_with_a_keyframe_and_goes_on_where_it_ended() -> None:
    gop = Gop()
    for number in range(3):
        gop.add(packet(number))
    assert gop.take() == []  # nothing to begin with
    for number in range(3, 6):
        gop.add(packet(number, key=number == 3))
    assert numbers(gop.take()) == [3, 4, 5]
    gop.add(packet(6))
    assert numbers(gop.take()) == [6]


def test_a_keyframe_replaces_what_nobody_wanted_and_says_so() -> None:
    gop = Gop()
    for number in range(25):
        gop.add(packet(number, key=number % 10 == 0))
    left_out = gop.gap
    assert left_out
    assert numbers(gop.take()) == [20, 21, 22, 23, 24]
    gop.add(packet(30, key=True))
    assert not gop.gap  # all before it was decoded


@pytest.mark.parametrize(("size", "step"), [(100_000, 1), (10, 30)])
def test_a_gop_that_is_too_large_or_too_long_is_to_be_decoded(size: int, step: int) -> None:
    gop = Gop(most_bytes=1_020_000, longest_s=30.0)
    for number in range(10):
        gop.add(packet(number * step, key=number == 0, size=size))
        assert not gop.is_full
    for number in range(10, 12):
        gop.add(packet(number * step, size=size))
    assert gop.is_full
    assert len(gop.take()) == 12
    assert not gop.is_full


def test_packets_of_a_few_bytes_take_no_more_memory_than_others() -> None:
    gop, kept = Gop(), 0
    while not gop.is_full:
        gop.add(packet(0, key=not kept, size=20))
        kept += 1
        assert kept <= 5_000
    assert kept > 1_000  # ten seconds of a hundred pictures each
