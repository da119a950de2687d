import socket
import threading
import time
from collections.abc import Callable
from itertools import islice, pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from known import all_known, known
from PIL import Image

from edge.errors import SourceError
from edge.testing.synthetic import write_clip
from edge.video.decode import Decoder, Frame, kept_frames
from edge.video.packet import Packet
from edge.video.sampler import Sampler
from edge.video.sources import SourceSettings, open_source


def packets_of(
    url: Path | str, settings: SourceSettings | None = None, count: int | None = None
) -> list[Packet]:
    with open_source(str(url), settings) as source:
        return list(islice(source.packets(), count))


def frames_of(url: Path, fps: float = 5.0) -> list[Frame]:
    with open_source(str(url)) as source:
        return list(kept_frames(source.packets(), Decoder(source.stream), Sampler(fps)))


@pytest.mark.parametrize(
    "form", ["{path}", "file:{path}", "file://{path}", "file://localhost{path}"]
)
def test_a_file_is_named_by_its_path_or_a_file_url(clip: Path, form: str) -> None:
    assert len(packets_of(form.format(path=clip))) == 40


@pytest.mark.parametrize("container", ["mkv", "ts", "avi", "mov", "flv"])
def test_the_containers_of_recorders_are_read(tmp_path: Path, container: str) -> None:
    path = write_clip(tmp_path / f"clip.{container}", fps=10, seconds=1)
    assert len(frames_of(path, fps=10.0)) == 10


def test_a_percent_sign_in_a_url_is_an_escape_and_in_a_path_is_itself(
    clip: Path, tmp_path: Path
) -> None:
    plain, odd = tmp_path / "a b.mp4", tmp_path / "a%20b.mp4"
    plain.write_bytes(clip.read_bytes())
    assert len(packets_of(f"file://{tmp_path}/a%20b.mp4")) == 40
    with pytest.raises(SourceError, match="is not a file"):
        packets_of(odd)


def test_a_recording_read_fast_has_the_arrivals_of_a_live_play(clip: Path) -> None:
    before = time.monotonic()
    packets = packets_of(clip)
    assert time.monotonic() - before < 2.0  # of four seconds
    first = packets[0].arrival
    assert first.monotonic >= before
    for index, packet in enumerate(packets):
        assert packet.arrival.pts_s == pytest.approx(index / 10)
        assert packet.arrival.monotonic - first.monotonic == pytest.approx(index / 10)
        assert packet.arrival.wall - first.wall == pytest.approx(index / 10, abs=1e-3)
    assert [index for index, packet in enumerate(packets) if packet.is_keyframe] == [0, 10, 20, 30]


def test_a_recording_played_like_a_camera_takes_its_time(clip: Path) -> None:
    began = time.monotonic()
    packets = packets_of(clip, SourceSettings(realtime=True), count=11)
    arrivals = [packet.arrival.monotonic for packet in packets]
    assert time.monotonic() - began >= 1.0
    assert all(arrival - began >= index / 10 for index, arrival in enumerate(arrivals))
    assert abs(packets[-1].arrival.wall - time.time()) < 5


def times_of(packets: list[Packet]) -> list[float]:
    return all_known(packet.arrival.pts_s for packet in packets)


def test_a_loop_goes_on_in_time(clip: Path) -> None:
    packets = packets_of(clip, SourceSettings(loop=True), count=100)
    arrivals = [packet.arrival.monotonic for packet in packets]
    steps = [
        (b - a, later - sooner)
        for (a, b), (sooner, later) in zip(
            pairwise(arrivals), pairwise(times_of(packets)), strict=True
        )
    ]
    assert all(step == pytest.approx((0.1, 0.1)) for step in steps)


def test_a_looped_recording_decodes_without_damage(bframes_clip: Path) -> None:
    with open_source(str(bframes_clip), SourceSettings(loop=True)) as source:
        decoder = Decoder(source.stream)
        frames = list(islice(kept_frames(source.packets(), decoder, Sampler(5)), 40))
    assert decoder.corrupt == 0
    times = [frame.arrival.monotonic for frame in frames]
    assert (times[-1] - times[0]) / 39 == pytest.approx(0.2, abs=0.02)


def test_stopping_ends_a_recording_in_the_middle_of_a_wait(tmp_path: Path) -> None:
    slow = write_clip(tmp_path / "slow.mp4", fps=1, seconds=60, gop=1, width=64, height=64)
    stop, ended = threading.Event(), threading.Event()

    def play() -> None:
        with open_source(str(slow), SourceSettings(realtime=True), stop) as source:
            for _ in source.packets():
                pass
        ended.set()

    threading.Thread(target=play, daemon=True).start()
    assert not ended.wait(0.3)
    stop.set()
    assert ended.wait(2.0)


def test_frames_without_presentation_time_are_spaced_by_the_frame_rate(tmp_path: Path) -> None:
    raw = write_clip(tmp_path / "raw.h264", fps=10, seconds=2)
    packets = packets_of(raw)
    assert {packet.arrival.pts_s for packet in packets} == {None}
    steps = [b.arrival.monotonic - a.arrival.monotonic for a, b in pairwise(packets)]
    assert all(step == pytest.approx(1 / 25) for step in steps)  # FFmpeg's guess for raw streams


def test_a_format_without_an_index_cannot_loop_and_says_so(tmp_path: Path) -> None:
    raw = write_clip(tmp_path / "raw.h264", fps=10, seconds=1)
    with pytest.raises(SourceError, match=r"cannot be played again: convert it to \.mp4"):
        packets_of(raw, SourceSettings(loop=True), count=100)


@pytest.mark.parametrize("jump_s", [-1.0, 20_000.0])
def test_a_recording_whose_clock_jumps_goes_on_at_its_pace(
    clip: Path, tmp_path: Path, jump_s: float
) -> None:
    jumping = with_jump(clip, tmp_path / "jump.ts", at=20, jump_s=jump_s)
    packets = packets_of(jumping)
    stamps = times_of(packets)
    assert (
        min(b - a for a, b in pairwise(stamps)) < 0 or max(b - a for a, b in pairwise(stamps)) > 100
    )  # the jump is there
    steps = [b.arrival.monotonic - a.arrival.monotonic for a, b in pairwise(packets)]
    assert all(step == pytest.approx(0.1, abs=0.02) for step in steps)


@pytest.mark.parametrize("times", ["stand still", "stop", "come in pairs", "creep"])
def test_a_recording_whose_clock_stands_still_goes_on_at_its_pace(
    clip: Path, tmp_path: Path, times: str
) -> None:
    """A loop of such a recording would otherwise be as fast as the processor."""
    stamp: Callable[[int], float] = {
        "stand still": lambda _: 1.0,
        "stop": lambda index: min(index, 10) / 10,
        "come in pairs": lambda index: index // 2 / 5,
        "creep": lambda index: index / 100_000,
    }[times]
    path = restamped(clip, tmp_path / "still.mkv", stamp)
    packets = packets_of(path)
    last = packets[-1].arrival.monotonic - packets[0].arrival.monotonic
    assert last == pytest.approx(0.1 * (len(packets) - 1), abs=0.11)


def test_a_recording_without_a_picture_is_not_played_again_and_again(tmp_path: Path) -> None:
    path = tmp_path / "empty.avi"
    with av.open(str(path), "w") as out:
        out.add_stream("mjpeg", rate=10, options={"strict": "-1"}).pix_fmt = "yuvj420p"
        out.start_encoding()
    assert packets_of(path, SourceSettings(loop=True), count=1) == []


def restamped(clip: Path, target: Path, stamp: Callable[[int], float]) -> Path:
    """The same recording with other times, in seconds by the packet's number."""
    with av.open(str(clip)) as source, av.open(str(target), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        packets = (packet for packet in source.demux(source.streams.video[0]) if packet.size)
        for index, packet in enumerate(packets):
            packet.pts = packet.dts = round(stamp(index) / packet.time_base)
            packet.stream = stream
            out.mux(packet)
    return target


def with_jump(clip: Path, target: Path, at: int, jump_s: float) -> Path:
    """Two recordings end to end, the second one starting at another time."""
    parts = []
    for name, first, offset in (("a", 0, 100.0), ("b", at, 100.0 + jump_s)):
        part = target.with_name(f"{name}.ts")
        with av.open(str(clip)) as source, av.open(str(part), "w") as out:
            stream = out.add_stream_from_template(source.streams.video[0])
            for index, packet in enumerate(source.demux(source.streams.video[0])):
                if packet.size and (index < at) == (first == 0):
                    shift = round(offset / packet.time_base)
                    packet.pts = known(packet.pts) + shift
                    packet.dts = known(packet.dts) + shift
                    packet.stream = stream
                    out.mux(packet)
        parts.append(part.read_bytes())
    target.write_bytes(b"".join(parts))
    return target


def test_a_picture_is_a_video_of_one_frame(tmp_path: Path) -> None:
    for name in ("photo.jpg", "photo%03d.png"):
        path = tmp_path / name
        Image.new("RGB", (321, 123), (10, 200, 30)).save(path)
        (frame,) = frames_of(path)
        assert (frame.picture.width, frame.picture.height) == (321, 123)


@pytest.mark.parametrize("name", ["notes.txt", "notes.mp4", "notes"])
def test_a_file_that_is_no_video_is_a_clear_error(tmp_path: Path, name: str) -> None:
    for content in (b"not a video\n" * 100, b"\0" * 5000, b""):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(SourceError, match=rf"{name} is not a video or picture"):
            open_source(str(path))


def test_a_missing_file_a_directory_and_a_remote_file_are_clear_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "none.mp4", tmp_path):
        with pytest.raises(SourceError, match="is not a file; expected a video or a picture"):
            open_source(str(path))
    with pytest.raises(SourceError, match="names the host 'server'"):
        open_source("file://server/clip.mp4")


def test_a_file_with_sound_only_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.rate = 8000
        out.mux(stream.encode(silence) + stream.encode(None))
    with pytest.raises(SourceError, match="has no video stream"):
        open_source(str(path))


def test_a_playlist_posing_as_a_video_does_not_reach_the_network(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(1.0)
        port = server.getsockname()[1]
        playlist = tmp_path / "innocent.m3u8"
        playlist.write_text(
            "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n"
            f"http://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n"
        )
        with pytest.raises(SourceError):
            packets_of(playlist)
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_truncated_recording_gives_what_is_left_of_it(clip: Path, tmp_path: Path) -> None:
    raw = write_clip(tmp_path / "raw.ts", fps=10, seconds=4, gop=10)
    half = tmp_path / "half.ts"
    half.write_bytes(raw.read_bytes()[: raw.stat().st_size // 2])
    frames = frames_of(half)
    assert 0 < len(frames) < 20


def test_video_that_ffmpeg_cannot_decode_is_said_to_be_so(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", fps=10, seconds=1, gop=5)
    data = path.read_bytes()
    assert b"V_MPEG4/ISO/AVC" in data
    path.write_bytes(data.replace(b"V_MPEG4/ISO/AVC", b"V_NO/SUCH/CODEC"))
    with pytest.raises(SourceError, match="of a kind that FFmpeg cannot decode"):
        open_source(str(path))
