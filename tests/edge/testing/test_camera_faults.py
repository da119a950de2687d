"""Each fault as a client meets it (docs/testing.md has the table)."""

import time
from itertools import pairwise
from random import Random

import av
import pytest
from av.error import ConnectionRefusedError as Refused
from av.error import FFmpegError, InvalidDataError

from edge.testing import Faults, TestCamera
from edge.testing.synthetic import write_clip

FAST = {"rtsp_transport": "tcp", "analyzeduration": "0", "probesize": "32"}


@pytest.fixture
def camera(clips):
    with TestCamera({"street": clips["h264"]}) as camera:
        yield camera


def watch(camera, **options):
    return av.open(camera.url("street"), options=FAST | options, timeout=10)


def test_a_stall_shows_as_silence_until_the_client_gives_up(camera):
    with watch(camera, timeout="300000") as container:
        packets = container.demux(video=0)
        next(packets)
        camera.faults.stall = True
        with pytest.raises(FFmpegError):
            list(packets)
        assert camera.clients == 1


def test_after_a_stall_nothing_is_missing(camera):
    with watch(camera) as container:
        shown = container.decode(video=0)
        next(shown)
        camera.faults.stall = True
        began = time.monotonic()
        while time.monotonic() < began + 0.3:  # six frames come due
            time.sleep(0.05)
        camera.faults.stall = False
        times = [next(shown).pts for _ in range(12)]
    assert [later - earlier for earlier, later in pairwise(times)] == [4500] * 11


def test_requests_are_answered_during_a_stall_but_not_by_a_black_hole(camera, connect):
    url = camera.url("street")
    client = connect(url)
    client.play(url)
    camera.faults.stall = True
    assert client.request("GET_PARAMETER", url)[0] == 200
    camera.faults.blackhole = True
    client.send(f"OPTIONS {url} RTSP/1.0\r\nCSeq: 9\r\n\r\n".encode())
    with pytest.raises(FFmpegError):
        watch(camera, timeout="300000")
    camera.faults.blackhole = camera.faults.stall = False
    with watch(camera) as container:
        next(container.decode(video=0))
    assert client.request("GET_PARAMETER", url)[1]["CSeq"] != "9"


def test_a_drop_ends_the_stream_without_an_exception(camera):
    with watch(camera) as container:
        packets = container.demux(video=0)
        next(packets)
        camera.drop()
        assert len(list(packets)) < 20
    with watch(camera) as container:
        next(container.decode(video=0))


def test_a_refusing_camera_closes_at_once_and_old_clients_stay(camera):
    with watch(camera) as container:
        shown = container.decode(video=0)
        next(shown)
        camera.faults.refuse = True
        with pytest.raises(InvalidDataError):
            watch(camera)
        next(shown)
    camera.faults.refuse = False
    with watch(camera) as container:
        next(container.decode(video=0))


def test_without_power_connections_are_refused_and_with_it_the_same_url_works(camera):
    url = camera.url("street")
    for _ in range(3):
        with watch(camera) as container:
            packets = container.demux(video=0)
            next(packets)
            camera.power_off()
            list(packets)
        camera.power_off()  # already off: nothing happens
        with pytest.raises(Refused):
            watch(camera)
        camera.power_on()
        camera.power_on()  # already on
    assert camera.url("street") == url
    with watch(camera) as container:
        next(container.decode(video=0))


@pytest.mark.parametrize("fault", ["loss", "corruption"])
@pytest.mark.parametrize("name", ["h264", "hevc"])
def test_damage_shows_as_corrupt_frames_not_as_an_error(tmp_path, name, fault):
    # Pictures of several packets each, so that most packets are slices and not parameter sets.
    path = write_clip(tmp_path / "street.mp4", codec=name, fps=40, seconds=1, gop=20)
    with TestCamera({"street": path}) as camera:
        assert not any(corrupt for corrupt, _ in _shown(camera, 40))
        setattr(camera.faults, fault, 0.15)
        shown = _shown(camera, 40)
    assert any(corrupt for corrupt, _ in shown)
    assert not all(corrupt for corrupt, _ in shown)


def _shown(camera, count):
    with watch(camera) as container:
        frames = container.decode(video=0)
        return [
            (frame.is_corrupt, frame.pts) for frame, _ in zip(frames, range(count), strict=False)
        ]


@pytest.mark.parametrize("jump_s", [20_000.0, -20_000.0])
def test_a_time_jump_comes_straight_through_once_for_every_client(camera, jump_s):
    with watch(camera) as one, watch(camera) as two:
        streams = [container.demux(video=0) for container in (one, two)]
        for packets in streams:
            next(packets)
            next(packets)
        camera.faults.time_jump_s = jump_s
        for packets in streams:
            times = [next(packets).pts for _ in range(10)]
            steps = [later - earlier for earlier, later in pairwise(times)]
            assert sorted(steps, key=abs) == [4500] * 8 + [4500 + jump_s * 90_000]
        assert camera.faults.time_jump_s == 0
    # It is over: a new client sees an ordinary stream.
    with watch(camera) as container:
        packets = container.demux(video=0)
        next(packets)
        times = [next(packets).pts for _ in range(10)]
    assert [later - earlier for earlier, later in pairwise(times)] == [4500] * 9


@pytest.mark.parametrize("name", ["h264", "hevc"])
def test_without_keyframes_there_are_packets_but_never_a_picture(clips, name):
    with TestCamera({"street": clips[name]}) as camera:
        assert _pictures(camera, packets=12) > 0
        camera.faults.no_keyframe = True
        assert _pictures(camera, packets=12) == 0


def _pictures(camera, packets):
    with watch(camera) as container:
        stream = container.demux(video=0)
        return sum(len(next(stream).decode()) for _ in range(packets))


PACKETS = [bytes([number]) * 100 for number in range(250)] * 8


def test_the_same_seed_damages_the_same_packets():
    faults = Faults(loss=0.1, corruption=0.1)
    once, again, other = (faults.damage(PACKETS, Random(seed)) for seed in (1, 1, 2))
    assert once == again
    assert once != other


def test_loss_and_corruption_hit_as_often_as_they_say_and_spare_the_headers():
    arriving = Faults(loss=0.2).damage(PACKETS, Random(0))
    assert len(arriving) / len(PACKETS) == pytest.approx(0.8, abs=0.04)
    arriving = Faults(corruption=0.2).damage(PACKETS, Random(0))
    changed = sum(before != after for before, after in zip(PACKETS, arriving, strict=True))
    assert changed / len(PACKETS) == pytest.approx(0.2, abs=0.04)
    assert [packet[:16] for packet in arriving] == [packet[:16] for packet in PACKETS]
    assert {len(packet) for packet in arriving} == {100}
    assert Faults().damage(PACKETS, Random(0)) == PACKETS


def test_a_misspelt_fault_is_an_error():
    with pytest.raises(AttributeError):
        Faults().stal = True
