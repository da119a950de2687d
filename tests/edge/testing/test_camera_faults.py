"""Each fault as a client meets it (docs/testing.md has the table)."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from pathlib import Path
from random import Random
from typing import Any

import av
import numpy as np
import pytest
from av.error import ConnectionRefusedError as Refused
from av.error import FFmpegError, InvalidDataError
from known import all_known
from numpy.typing import NDArray
from raw_rtsp import RawClient

from edge.testing import Faults, TestCamera
from edge.testing.clip import Clip
from edge.testing.synthetic import write_clip

FAST = {"rtsp_transport": "tcp", "analyzeduration": "0", "probesize": "32"}


@pytest.fixture
def camera(clips: dict[str, Clip]) -> Iterator[TestCamera]:
    with TestCamera({"street": clips["h264"]}) as camera:
        yield camera


def watch(camera: TestCamera, **options: str) -> av.container.InputContainer:
    return av.open(camera.url("street"), options=FAST | options, timeout=10)


def test_a_stall_shows_as_silence_until_the_client_gives_up(camera: TestCamera) -> None:
    with watch(camera, timeout="300000") as container:
        packets = container.demux(video=0)
        next(packets)
        camera.faults.stall = True
        with pytest.raises(FFmpegError):
            list(packets)
        assert camera.clients == 1


def test_after_a_stall_nothing_is_missing(camera: TestCamera) -> None:
    with watch(camera) as container:
        shown = container.decode(video=0)
        next(shown)
        camera.faults.stall = True
        time.sleep(0.3)  # the time itself is what is tested: twelve frames come due
        camera.faults.stall = False
        times = all_known(next(shown).pts for _ in range(18))
    assert [later - earlier for earlier, later in pairwise(times)] == [2250] * 17


def test_requests_are_answered_during_a_stall_but_not_by_a_black_hole(
    camera: TestCamera, connect: Callable[[str], RawClient]
) -> None:
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


def test_a_drop_ends_the_stream_without_an_exception(camera: TestCamera) -> None:
    with watch(camera) as container:
        packets = container.demux(video=0)
        next(packets)
        camera.drop()
        assert len(list(packets)) < 20
    with watch(camera) as container:
        next(container.decode(video=0))


def test_a_refusing_camera_closes_at_once_and_old_clients_stay(camera: TestCamera) -> None:
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


def test_without_power_connections_are_refused_and_with_it_the_same_url_works(
    camera: TestCamera,
) -> None:
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


@pytest.fixture(scope="module")
def grainy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Forty pictures, 80 a second, of several packets each in H.264."""
    folder = tmp_path_factory.mktemp("grainy")
    return {
        codec: write_clip(folder / f"{codec}.mp4", codec=codec, fps=80, seconds=0.5, gop=20)
        for codec in ("h264", "hevc")
    }


def decode(camera: TestCamera, packets: int = 40) -> Counter[str]:
    """How many frames and corrupt frames so many packets gave; any decoder error is raised."""
    seen: Counter[str] = Counter()
    with watch(camera) as container:
        for packet in islice(container.demux(video=0), packets):
            frames = packet.decode()
            seen["frames"] += len(frames)
            seen["corrupt"] += sum(frame.is_corrupt for frame in frames)
    return seen


@pytest.mark.parametrize("fault", ["loss", "corruption"])
def test_damaged_h264_shows_as_corrupt_frames_and_no_error(
    grainy: dict[str, Path], fault: str
) -> None:
    with TestCamera({"street": grainy["h264"]}) as camera:
        assert decode(camera) == {"frames": 40, "corrupt": 0}
        setattr(camera.faults, fault, 0.15)
        seen = decode(camera)
    assert 0 < seen["corrupt"] < seen["frames"]


def test_damaged_h265_shows_wrong_pictures_that_nobody_flags(grainy: dict[str, Path]) -> None:
    def pictures(camera: TestCamera) -> list[NDArray[Any]]:
        with watch(camera) as container:
            frames = list(islice(container.decode(video=0), 40))
            assert not any(frame.is_corrupt for frame in frames)
            return [frame.to_ndarray() for frame in frames]

    with TestCamera({"street": grainy["hevc"]}) as camera:
        clean, again = pictures(camera), pictures(camera)
        assert np.array_equal(clean, again)
        camera.faults.corruption = 0.15
        damaged = pictures(camera)
    assert not np.array_equal(clean, damaged)


def test_lost_h265_shows_as_missing_frames(grainy: dict[str, Path]) -> None:
    with TestCamera({"street": grainy["hevc"]}) as camera:
        camera.faults.loss = 0.15
        seen = decode(camera)
    assert 0 < seen["frames"] < 40
    assert seen["corrupt"] == 0


RTP_RANGE_S = 2**32 / 90_000


@pytest.mark.parametrize(
    ("jump_s", "seen_s"),
    # FFmpeg takes times more than a minute before the first one for a wrapped counter.
    [(20_000.0, 20_000.0), (-30.0, -30.0), (-20_000.0, RTP_RANGE_S - 20_000.0)],
)
def test_a_time_jump_comes_through_once_for_every_client(
    camera: TestCamera, jump_s: float, seen_s: float
) -> None:
    with watch(camera) as one, watch(camera) as two:
        streams = [container.demux(video=0) for container in (one, two)]
        for packets in streams:
            next(packets)
            next(packets)
        camera.faults.time_jump_s = jump_s
        for packets in streams:
            times = all_known(next(packets).pts for _ in range(10))
            steps = [later - earlier for earlier, later in pairwise(times)]
            assert sorted(steps, key=abs) == [2250] * 8 + [2250 + round(seen_s * 90_000)]
        assert camera.faults.time_jump_s == 0
    # It is over: a new client sees an ordinary stream.
    with watch(camera) as container:
        packets = container.demux(video=0)
        next(packets)
        times = all_known(next(packets).pts for _ in range(10))
    assert [later - earlier for earlier, later in pairwise(times)] == [2250] * 9


@pytest.mark.parametrize("name", ["h264", "hevc"])
def test_without_keyframes_there_are_packets_but_never_a_picture(
    clips: dict[str, Clip], name: str
) -> None:
    with TestCamera({"street": clips[name]}) as camera:
        assert decode(camera, packets=12)["frames"] > 0
        camera.faults.no_keyframe = True
        assert decode(camera, packets=12) == {"frames": 0, "corrupt": 0}


PACKETS = [bytes([number]) * 100 for number in range(250)] * 8


def test_the_same_seed_damages_the_same_packets() -> None:
    faults = Faults(loss=0.1, corruption=0.1)
    once, again, other = (faults.damage(PACKETS, Random(seed)) for seed in (1, 1, 2))
    assert once == again
    assert once != other


def test_loss_and_corruption_hit_as_often_as_they_say_and_spare_the_headers() -> None:
    arriving = Faults(loss=0.2).damage(PACKETS, Random(0))
    assert len(arriving) / len(PACKETS) == pytest.approx(0.8, abs=0.04)
    arriving = Faults(corruption=0.2).damage(PACKETS, Random(0))
    changed = sum(before != after for before, after in zip(PACKETS, arriving, strict=True))
    assert changed / len(PACKETS) == pytest.approx(0.2, abs=0.04)
    assert [packet[:16] for packet in arriving] == [packet[:16] for packet in PACKETS]
    assert {len(packet) for packet in arriving} == {100}
    assert Faults().damage(PACKETS, Random(0)) == PACKETS


def test_a_misspelt_fault_is_an_error() -> None:
    with pytest.raises(AttributeError):
        Faults().stal = True  # type: ignore[attr-defined]  # the point of the test


@pytest.mark.parametrize("fault", ["truncation", "garbage"])
def test_packets_that_are_cut_or_garbage_damage_pictures_until_it_ends(
    camera: TestCamera, fault: str
) -> None:
    with watch(camera) as container:
        context = container.streams.video[0].codec_context
        packets = container.demux(video=0)

        def shown(number: int) -> list[bool]:
            """Whether each picture of so many packets is sound; one that cannot be is not."""
            sound: list[bool] = []
            for packet in islice(packets, number):
                try:
                    sound += [not picture.is_corrupt for picture in context.decode(packet)]
                except InvalidDataError:
                    sound.append(False)
            return sound

        assert all(shown(5))
        setattr(camera.faults, fault, 0.5)
        assert not all(shown(30))
        setattr(camera.faults, fault, 0.0)
        shown(15)
        assert all(shown(10))


def test_a_trickle_gives_no_picture_and_afterwards_everything(camera: TestCamera) -> None:
    with watch(camera) as container:
        shown = container.decode(video=0)
        next(shown)
        camera.faults.trickle = True
        threading.Timer(0.3, setattr, (camera.faults, "trickle", False)).start()
        times = all_known(next(shown).pts for _ in range(18))
    assert [later - earlier for earlier, later in pairwise(times)] == [2250] * 17
    camera.faults.trickle = True
    with pytest.raises(FFmpegError):  # an answer takes minutes
        watch(camera, timeout="300000")


def test_a_reset_comes_in_the_middle_of_a_picture(
    camera: TestCamera, connect: Callable[[str], RawClient]
) -> None:
    url = camera.url("street")
    camera.faults.reset = True
    client = connect(url)
    client.play(url)

    def read_on() -> None:
        while True:
            client.interleaved()

    with pytest.raises(ConnectionResetError):
        read_on()
    camera.faults.reset = False
    with watch(camera) as container:
        next(container.decode(video=0))


def test_another_clip_is_shown_to_those_who_watch_already(
    camera: TestCamera, tmp_path: Path, clips: dict[str, Clip]
) -> None:
    large = write_clip(tmp_path / "large.mp4", fps=40, seconds=0.25, gop=5, width=320, height=240)
    with watch(camera) as container:
        shown = container.decode(video=0)
        first = next(shown)
        assert (first.width, first.height) == (160, 120)
        camera.show("street", Clip.read(large))
        sizes = [(picture.width, picture.height) for picture in islice(shown, 20)]
        assert sizes[-1] == (320, 240)
        assert sizes == sorted(sizes)  # once, and for good
    camera.show("street", clips["hevc"])
    with watch(camera) as container:
        assert container.streams.video[0].codec_context.name == "hevc"
        assert len(list(islice(container.decode(video=0), 15))) == 15
    with pytest.raises(KeyError, match="expected one of the clips"):
        camera.show("garden", clips["hevc"])
