import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Literal

import pytest
from known import all_known
from odd_video import at_times

from edge.errors import SourceError, SourceRefused
from edge.system.backoff import CameraRetry
from edge.testing import Clip, TestCamera
from edge.testing.clip import Codec
from edge.testing.synthetic import write_clip
from edge.video.decode import Decoder, kept_frames
from edge.video.packet import Packet
from edge.video.sampler import Sampler
from edge.video.sources import SourceSettings, open_source

PASSWORD = "s3cr3t-pass"
OTHER_PASSWORD = "other-s3cr3t"
QUICK = SourceSettings(timeout_s=1.0)


def watch(
    url: str,
    count: int,
    settings: SourceSettings = QUICK,
    *,
    then: Callable[[], object] | None = None,
    into: list[Packet] | None = None,
) -> list[Packet]:
    """Take ``count`` packets, do ``then``, and go on until the source ends."""
    packets: list[Packet] = [] if into is None else into
    with open_source(url, settings) as source:
        for packet in source.packets():
            packets.append(packet)
            if len(packets) == count:
                if then is None:
                    break
                then()
    return packets


def failure_after(
    url: str, then: Callable[[], object], settings: SourceSettings = QUICK
) -> tuple[SourceError, float]:
    """What happens to a stream after ``then``, and how many seconds later."""
    began: list[float] = []

    def do() -> None:
        then()
        began.append(time.monotonic())

    with pytest.raises(SourceError) as caught:
        watch(url, 5, settings, then=do)
    return caught.value, time.monotonic() - began[0]


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_a_camera_gives_frames_stamped_as_they_come_in(
    tmp_path: Path, codec: Codec, auth: Literal["basic", "digest"]
) -> None:
    path = write_clip(tmp_path / "clip.mp4", codec=codec, fps=10, seconds=2)
    with TestCamera({"yard": path}, user="viewer", password=PASSWORD, auth=auth) as camera:
        before = (time.time(), time.monotonic())
        with open_source(camera.url("yard")) as source:
            packets = source.packets()
            frames = kept_frames(packets, Decoder(source.stream), Sampler(5))
            taken = [next(frames) for _ in range(5)]
        began = camera.loops("yard")[0][1]
    arrivals = [frame.arrival.monotonic for frame in taken]
    assert {(frame.picture.width, frame.picture.height) for frame in taken} == {(320, 240)}
    assert arrivals == sorted(arrivals)
    assert all(before[1] <= arrival <= time.monotonic() for arrival in arrivals)
    assert all(before[0] <= frame.arrival.wall <= time.time() for frame in taken)
    # The parser lets a picture go when the next one begins, 0.1 s later.
    assert arrivals[0] - began < 0.5


def test_the_first_frame_comes_at_once(camera: TestCamera) -> None:
    began = time.monotonic()
    with open_source(camera.url("yard"), QUICK) as source:
        frames = kept_frames(source.packets(), Decoder(source.stream), Sampler(2))
        next(frames)
    assert time.monotonic() - began < 1.0  # probing as FFmpeg does by itself takes a second


def test_packets_without_presentation_time_are_taken(camera: TestCamera) -> None:
    packets = watch(camera.url("yard"), 5)
    assert packets[0].arrival.pts_s is None  # RTSP: no time before the first sender report
    assert all(packet.arrival.pts_s is not None for packet in packets[2:])


@pytest.mark.parametrize("jump_s", [20_000.0, -20_000.0])
def test_a_jump_of_the_cameras_clock_moves_neither_arrival_nor_rate(
    camera: TestCamera, jump_s: float
) -> None:
    with open_source(camera.url("yard"), QUICK) as source:
        decoder, frames = Decoder(source.stream), []
        for frame in kept_frames(source.packets(), decoder, Sampler(10)):
            frames.append(frame)
            if len(frames) == 5:
                camera.faults.time_jump_s = jump_s
            if len(frames) == 15:
                break
    stamps = all_known(frame.arrival.pts_s for frame in frames[1:])
    assert abs(stamps[-1] - stamps[0]) > 10_000  # the jump came through
    arrivals = [frame.arrival.monotonic for frame in frames]
    assert (arrivals[-1] - arrivals[0]) / 14 == pytest.approx(0.1, abs=0.03)
    assert abs(frames[-1].arrival.wall - time.time()) < 5
    assert decoder.corrupt == 0


def test_the_end_of_a_live_stream_is_an_error_though_ffmpeg_reports_none(
    camera: TestCamera,
) -> None:
    error, seconds = failure_after(camera.url("yard"), camera.drop)
    assert str(error).endswith("/yard ended the stream")
    assert seconds < 1.0


@pytest.mark.parametrize("fault", ["stall", "blackhole"])
def test_silence_is_reported_after_the_timeout_not_twice_of_it(
    camera: TestCamera, fault: str
) -> None:
    error, seconds = failure_after(camera.url("yard"), lambda: setattr(camera.faults, fault, True))
    assert str(error).endswith("/yard sent no picture for 1 s")
    assert 0.8 <= seconds < 1.9  # FFmpeg by itself: 2


def test_a_byte_a_second_is_silence(camera: TestCamera) -> None:
    error, after = failure_after(
        camera.url("yard"), lambda: setattr(camera.faults, "trickle", True)
    )
    assert "/yard sent no picture for 1 s, though bytes came: the line is far too slow" in str(
        error
    )
    assert after < 2.5


def test_a_pause_shorter_than_the_timeout_is_survived(camera: TestCamera) -> None:
    def pause() -> None:
        camera.faults.stall = True
        threading.Timer(0.75, setattr, (camera.faults, "stall", False)).start()

    packets = watch_until(camera.url("yard"), 40, 5, pause)
    gaps = [
        after.arrival.monotonic - before.arrival.monotonic for before, after in pairwise(packets)
    ]
    assert max(gaps) > 0.5


def watch_until(url: str, total: int, count: int, then: Callable[[], object]) -> list[Packet]:
    packets = []
    with open_source(url, QUICK) as source:
        for packet in source.packets():
            packets.append(packet)
            if len(packets) == count:
                then()
            if len(packets) == total:
                break
    return packets


def test_the_frame_let_go_by_a_timeout_is_not_taken_for_an_arrival(camera: TestCamera) -> None:
    stalled: list[float] = []

    def stall() -> None:
        camera.faults.stall = True
        stalled.append(time.monotonic())

    packets: list[Packet] = []
    with pytest.raises(SourceError):
        watch(camera.url("yard"), 5, then=stall, into=packets)
    assert packets[-1].arrival.monotonic < stalled[0] + 0.4


def test_a_camera_that_sends_more_rarely_than_half_the_timeout_is_watched(tmp_path: Path) -> None:
    clip = Clip.read(write_clip(tmp_path / "slow.mp4", width=64, height=48, seconds=2, gop=1))
    packets: list[Packet] = []
    with TestCamera({"yard": at_times(clip, [0.36])}) as camera:
        while len(packets) < 6:
            packets.clear()
            # Where a picture comes just as the waiting ends, FFmpeg has lost the stream.
            with suppress_text("Input/output error"):
                watch(camera.url("yard"), 6, SourceSettings(timeout_s=0.6), into=packets)
    arrivals = [packet.arrival.monotonic for packet in packets]
    assert arrivals[-1] - arrivals[0] > 3 * 0.36  # their times go on


@contextmanager
def suppress_text(text: str) -> Iterator[None]:
    """Pass over an error of a source that says this."""
    try:
        yield
    except SourceError as exc:
        assert text in str(exc)  # noqa: PT017


def test_a_camera_that_accepts_and_never_streams_is_given_up(camera: TestCamera) -> None:
    camera.faults.stall = True
    began = time.monotonic()
    with pytest.raises(SourceError, match="sent no picture for 1 s"):
        watch(camera.url("yard"), 1)
    assert time.monotonic() - began < 3.0


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("blackhole", "did not answer within 1 s"),
        ("refuse", "does not answer as an RTSP camera"),
    ],
)
def test_a_camera_that_does_not_speak_is_a_clear_error(
    camera: TestCamera, fault: str, message: str
) -> None:
    setattr(camera.faults, fault, True)
    with pytest.raises(SourceError, match=message) as caught:
        open_source(camera.url("yard"), QUICK)
    assert not isinstance(caught.value, SourceRefused)


def test_a_camera_that_is_off_is_a_clear_error(camera: TestCamera) -> None:
    camera.power_off()
    with pytest.raises(SourceError, match="Connection refused"):
        open_source(camera.url("yard"), QUICK)


def tenth_delay_s(error: Exception) -> float:
    retry = CameraRetry(Random(1))
    return [retry.delay_s(error, streamed_s=0.0) for _ in range(10)][-1]


def test_a_wrong_password_is_a_refusal_and_is_tried_again_slowly(camera: TestCamera) -> None:
    with pytest.raises(SourceRefused, match=r"refused the user name or password \(401\)") as error:
        open_source(camera.url("yard", password="wrong-pass"), QUICK)
    assert tenth_delay_s(error.value) > 200


def test_a_stream_that_is_not_there_may_be_there_soon(camera: TestCamera) -> None:
    """Recorders say 404 until they have the first picture of a camera that has just started."""
    with pytest.raises(SourceError, match=r"has no such stream \(404\)") as error:
        open_source(camera.url("yard") + "-not", QUICK)
    assert not isinstance(error.value, SourceRefused)
    assert tenth_delay_s(error.value) <= 10


# As docs/config.md says.
ESCAPES = {"%": "%25", "/": "%2F", "?": "%3F", "#": "%23", "@": "%40", ":": "%3A"}


@pytest.mark.parametrize("password", ["50%", "50%25", "a/b?c#d@e:f", "%%//::"])
def test_a_password_of_any_characters_reaches_the_camera_as_the_docs_say(
    recording: Clip, password: str
) -> None:
    written = "".join(ESCAPES.get(letter, letter) for letter in password)
    with TestCamera({"yard": recording}, user="viewer", password=password) as camera:
        assert len(watch(f"rtsp://viewer:{written}@127.0.0.1:{camera.port}/yard", 3)) == 3
        assert camera.rejected_logins == 0


def test_a_percent_sign_that_is_not_written_as_the_docs_say_is_another_password(
    recording: Clip,
) -> None:
    with TestCamera({"yard": recording}, user="viewer", password="50%25") as camera:
        with pytest.raises(SourceRefused, match=r"refused the user name or password \(401\)"):
            open_source(f"rtsp://viewer:50%25@127.0.0.1:{camera.port}/yard", QUICK)
        assert camera.rejected_logins == 1


def test_a_transport_the_camera_does_not_offer_is_named(camera: TestCamera) -> None:
    with pytest.raises(SourceError, match="does not send over udp: try transport: tcp"):
        open_source(camera.url("yard"), SourceSettings(transport="udp", timeout_s=1.0))


def test_no_error_shows_the_password_not_even_in_its_traceback(camera: TestCamera) -> None:
    def refuse() -> None:
        camera.faults.refuse = True

    def stall() -> None:
        camera.faults.refuse, camera.faults.stall = False, True

    errors: list[SourceError] = []
    for prepare in (refuse, stall, camera.power_off):
        prepare()
        with pytest.raises(SourceError) as caught:
            watch(camera.url("yard"), 100)
        errors.append(caught.value)
    camera.power_on()
    with pytest.raises(SourceError) as caught:
        open_source(camera.url("yard", user="viewer", password=OTHER_PASSWORD), QUICK)
    for error in [*errors, caught.value]:
        text = "".join(traceback.format_exception(error))
        assert "viewer:***@" in text
        assert "s3cr3t" not in text
        assert error.__cause__ is None or "s3cr3t" not in repr(error.__cause__)


def test_ffmpeg_prints_no_password(camera: TestCamera) -> None:
    program = (
        "import sys; from edge.video.sources import open_source\n"
        "try: open_source(sys.argv[1])\n"
        "except Exception as error: print(error)\n"
    )
    url = camera.url("yard", password=OTHER_PASSWORD)
    run = subprocess.run(
        [sys.executable, "-c", program, url], capture_output=True, text=True, check=True
    )
    assert "(401)" in run.stdout
    assert "s3cr3t" not in run.stdout + run.stderr


def test_stopping_ends_a_stream_with_its_next_packet(camera: TestCamera) -> None:
    stop = threading.Event()
    with open_source(camera.url("yard"), QUICK, stop) as source:
        packets = source.packets()
        next(packets)
        stop.set()
        began = time.monotonic()
        assert len(list(packets)) <= 1
    assert time.monotonic() - began < 1.0


def test_stopping_ends_a_silent_stream_within_half_the_timeout(camera: TestCamera) -> None:
    stop = threading.Event()
    with open_source(camera.url("yard"), SourceSettings(timeout_s=2.0), stop) as source:
        packets = source.packets()
        for _ in range(5):
            next(packets)
        camera.faults.stall = True
        threading.Timer(0.3, stop.set).start()
        began = time.monotonic()
        list(packets)
    assert time.monotonic() - began < 1.9


@pytest.mark.parametrize(("loss", "corruption"), [(0.02, 0.0), (0.0, 0.02)])
def test_loss_and_corruption_leave_a_stream_of_sound_frames(
    camera: TestCamera, loss: float, corruption: float
) -> None:
    camera.faults.loss, camera.faults.corruption = loss, corruption
    with open_source(camera.url("yard"), QUICK) as source:
        decoder = Decoder(source.stream)
        frames = kept_frames(source.packets(), decoder, Sampler(25))
        taken = [next(frames) for _ in range(50)]
    assert not any(frame.picture.is_corrupt for frame in taken)
    assert decoder.corrupt > 0


def test_opening_and_closing_leaves_no_thread_and_no_descriptor(camera: TestCamera) -> None:
    def once() -> None:
        with open_source(camera.url("yard"), QUICK) as source:
            next(source.packets())

    once()
    threads, descriptors = threading.active_count(), open_descriptors(camera)
    for _ in range(10):
        once()
    assert threading.active_count() <= threads + 1
    assert open_descriptors(camera) <= descriptors


def open_descriptors(camera: TestCamera) -> int:
    deadline = time.monotonic() + 5
    while camera.clients and time.monotonic() < deadline:
        time.sleep(0.01)
    return len(list(Path("/proc/self/fd").iterdir()))
