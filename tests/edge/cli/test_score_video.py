"""How much of a camera is scored: so many seconds from its first keyframe on."""

from typing import Any

import pytest

from edge.cli.score_video import _within
from edge.video.packet import Packet
from edge.video.sample import Arrival

NO_DATA: Any = None


def packets(keyframe_s: float | None, until_s: float = 60.0) -> list[Packet]:
    """Ten packets a second, with keyframes every second from ``keyframe_s`` on."""
    times = [number / 10 for number in range(int(until_s * 10))]
    first = until_s if keyframe_s is None else keyframe_s
    return [
        Packet(Arrival(at, 100 + at, None), at >= first and (at - first) % 1 < 0.01, 100, NO_DATA)
        for at in times
    ]


@pytest.mark.parametrize("keyframe_s", [0.0, 0.9, 12.0])
def test_the_time_begins_with_the_first_keyframe(keyframe_s: float) -> None:
    found = list(_within(iter(packets(keyframe_s)), 1.0))
    assert found[-1].arrival.monotonic - 100 == pytest.approx(keyframe_s + 1.0, abs=0.11)
    assert any(packet.is_keyframe for packet in found)


def test_without_a_keyframe_it_ends_when_the_daemon_would_give_up() -> None:
    found = list(_within(iter(packets(None)), 1.0))
    assert found[-1].arrival.monotonic - 100 == pytest.approx(20.0, abs=0.11)
