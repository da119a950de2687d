import dataclasses
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from known import all_known, known
from odd_video import bomb

from edge.errors import SourceError
from edge.testing.clip import Codec
from edge.testing.synthetic import write_clip
from edge.video.decode import Decoder, Frame, kept_frames
from edge.video.packet import MAX_PIXELS
from edge.video.sample import Arrival
from edge.video.sampler import Sampler, Use
from edge.video.sources import Packet, open_source

# Opens a clip: (packets, a decoder of its stream).
Opened = Callable[[Path], tuple[list[Packet], Decoder]]


@pytest.fixture
def opened(request: pytest.FixtureRequest) -> Opened:
    """Open a clip: (packets, a decoder of its stream)."""

    def open_(path: Path) -> tuple[list[Packet], Decoder]:
        source = open_source(str(path))
        request.addfinalizer(source.close)
        return list(source.packets()), Decoder(source.stream)

    return open_


def damaged(packet: Packet, rng: np.random.Generator, *, header: bool = False) -> Packet:
    """The packet with random bytes: in its picture data, or from its very beginning."""
    content = bytearray(bytes(packet.data))
    start = 4 if header else min(len(content) // 3, 200)
    content[start:] = rng.bytes(len(content) - start)
    data = cast("av.Packet[av.VideoStream]", av.Packet(bytes(content)))
    data.pts, data.dts, data.time_base = packet.data.pts, packet.data.dts, packet.data.time_base
    return dataclasses.replace(packet, data=data)


def decode_all(packets: list[Packet], decoder: Decoder) -> list[Frame]:
    return [frame for packet in packets for frame in decoder.decode(packet)] + decoder.flush()


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("bframes", [0, 2])
def test_a_frame_keeps_the_arrival_of_its_own_packet_through_reordering(
    opened: Opened, tmp_path: Path, codec: Codec, bframes: int
) -> None:
    path = write_clip(tmp_path / "clip.mp4", codec=codec, bframes=bframes, fps=10, seconds=2)
    packets, decoder = opened(path)
    frames = decode_all(packets, decoder)
    assert len(frames) == decoder.frames == 20
    base = packets[0].data.time_base
    assert [f.arrival.pts_s for f in frames] == [float(known(f.picture.pts) * base) for f in frames]
    assert {frame.arrival for frame in frames} == {packet.arrival for packet in packets}


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_keyframe_decoded_alone_comes_at_once(
    opened: Opened, tmp_path: Path, codec: Codec
) -> None:
    path = write_clip(tmp_path / "clip.mp4", codec=codec, bframes=2, fps=10, seconds=3, gop=10)
    packets, decoder = opened(path)
    keyframes = [packet for packet in packets if packet.is_keyframe]
    frames = [decoder.decode_alone(packet) for packet in keyframes]
    assert [[frame.arrival for frame in each] for each in frames] == [
        [packet.arrival] for packet in keyframes
    ]

    packets, decoder = opened(path)  # the control: the usual way holds it back
    assert decoder.decode(packets[0]) == []


def test_keyframes_alone_look_as_in_a_complete_decode(opened: Opened, bframes_clip: Path) -> None:
    packets, decoder = opened(bframes_clip)
    complete = {frame.arrival.pts_s: frame.picture for frame in decode_all(packets, decoder)}
    packets, decoder = opened(bframes_clip)
    for packet in packets:
        if packet.is_keyframe:
            (frame,) = decoder.decode_alone(packet)
            expected = complete[packet.arrival.pts_s].to_ndarray()
            assert np.array_equal(frame.picture.to_ndarray(), expected)


def test_decoding_can_change_from_keyframes_to_everything_and_back(
    opened: Opened, bframes_clip: Path
) -> None:
    packets, decoder = opened(bframes_clip)
    first, second = (index for index, packet in enumerate(packets) if packet.is_keyframe)
    alone = decoder.decode_alone(packets[first])
    chain = [frame for packet in packets[first:second] for frame in decoder.decode(packet)]
    rest = decoder.decode_alone(packets[second])
    assert len(alone) == 1
    assert len(chain) + len(rest) == second - first + 1
    assert decoder.corrupt == 0


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_garbage_is_counted_and_the_next_keyframe_heals(
    opened: Opened, tmp_path: Path, codec: Codec
) -> None:
    path = write_clip(tmp_path / "clip.mp4", codec=codec, fps=10, seconds=3, gop=10)
    packets, decoder = opened(path)
    rng = np.random.default_rng(1)
    packets[10:15] = [damaged(packet, rng, header=True) for packet in packets[10:15]]
    frames = decode_all(packets, decoder)
    assert decoder.corrupt > 0 or codec == "hevc"  # whose decoder passes over it in silence
    assert len(frames) < 30
    healed = [time for time in all_known(f.arrival.pts_s for f in frames) if time >= 2.0]
    assert healed == pytest.approx([2.0 + index / 10 for index in range(10)])


def test_damaged_pictures_are_left_out_and_counted(opened: Opened, clip: Path) -> None:
    packets, decoder = opened(clip)
    rng = np.random.default_rng(2)
    packets[10] = damaged(packets[10], rng)
    frames = decode_all(packets, decoder)
    assert packets[10].arrival not in {frame.arrival for frame in frames}
    assert decoder.corrupt >= 1
    assert len(frames) >= 30


def test_random_bytes_never_raise(opened: Opened, clip: Path) -> None:
    packets, decoder = opened(clip)
    rng = np.random.default_rng(3)
    for index, packet in zip(range(300), packets * 10, strict=False):
        decoder.decode(damaged(packet, rng, header=index % 2 == 0) if index % 3 else packet)
    assert decoder.corrupt > 0


def test_a_change_of_resolution_in_the_stream_is_followed(opened: Opened, tmp_path: Path) -> None:
    small = write_clip(tmp_path / "small.h264", fps=10, seconds=1, width=320, height=240)
    large = write_clip(tmp_path / "large.h264", fps=10, seconds=1, width=640, height=360)
    both = tmp_path / "both.h264"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    packets, decoder = opened(both)
    sizes = [(frame.picture.width, frame.picture.height) for frame in decode_all(packets, decoder)]
    assert sizes == [(320, 240)] * 10 + [(640, 360)] * 10


def test_pictures_too_large_are_refused_before_their_memory_is_taken(
    opened: Opened, tmp_path: Path
) -> None:
    side = 3600
    assert side * side > MAX_PIXELS
    path = write_clip(tmp_path / "bomb.mp4", fps=1, seconds=1, width=side, height=side)
    with pytest.raises(SourceError, match="3600x3600 are too large"):
        opened(path)


def test_a_stream_that_turns_too_large_gives_no_frame(opened: Opened, tmp_path: Path) -> None:
    small = write_clip(tmp_path / "small.h264", fps=10, seconds=1)
    bomb = write_clip(tmp_path / "bomb.h264", fps=1, seconds=1, width=3600, height=3600)
    both = tmp_path / "both.h264"
    both.write_bytes(small.read_bytes() + bomb.read_bytes())
    packets, decoder = opened(both)
    frames = decode_all(packets, decoder)
    assert {frame.picture.width for frame in frames} == {320}
    assert decoder.corrupt > 0


DECODE = """
import sys
from pathlib import Path
import av
from edge.errors import SourceError
from edge.video.decode import Decoder
from edge.video.sources import open_source

def largest():
    (line,) = [l for l in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in l]
    return int(line.split()[1]) / 1024

small, bomb, how = sys.argv[1:]
with open_source(small) as source:
    decoder = Decoder(source.stream)
    assert sum(len(decoder.decode(packet)) for packet in source.packets())
before = largest()
if how == "ours":
    try:
        with open_source(bomb) as source:
            decoder = Decoder(source.stream)
            frames = [one for packet in source.packets() for one in decoder.decode(packet)]
            assert {frame.picture.width for frame in frames} == {320}
    except SourceError as error:
        assert "too large" in str(error)
else:
    with av.open(bomb) as container:
        assert list(container.decode(video=0))
print(largest() - before)
"""


@pytest.fixture(scope="session")
def bombs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small clip; one of 67 million pixels; both in one stream, and the bomb in its header."""
    folder = tmp_path_factory.mktemp("bombs")

    paths = {name: folder / f"{name}.h264" for name in ("small", "bomb", "turns")}
    write_clip(paths["small"], fps=10, seconds=1)
    bomb(paths["bomb"])
    paths["turns"].write_bytes(paths["small"].read_bytes() + paths["bomb"].read_bytes())
    return paths


def grown_mb(bombs: dict[str, Path], name: str, how: str) -> float:
    """Return how much memory a process takes more for ``name`` than for the small clip."""
    command = [sys.executable, "-c", DECODE, str(bombs["small"]), str(bombs[name]), how]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


@pytest.mark.parametrize("name", ["bomb", "turns"])
def test_a_bomb_takes_no_memory(
    bombs: dict[str, Path], name: str, record_property: Callable[[str, object], None]
) -> None:
    grown = grown_mb(bombs, name, "ours")
    record_property("grown_mb", round(grown, 1))
    assert grown < 64


def test_a_bomb_that_is_decoded_would_be_seen(bombs: dict[str, Path]) -> None:
    assert grown_mb(bombs, "bomb", "theirs") > 100


def test_decoding_takes_one_thread(opened: Opened, clip: Path) -> None:
    packets, decoder = opened(clip)
    decode_all(packets, decoder)
    context = packets[0].data.stream.codec_context
    assert (context.thread_count, context.thread_type.name) == (1, "NONE")


class Watched(Decoder):
    """Counts the packets decoded."""

    decoded = 0

    def decode(self, packet: Packet) -> list[Frame]:
        self.decoded += 1
        return super().decode(packet)


def keep(path: Path, fps: float) -> tuple[list[Frame], int]:
    with open_source(str(path)) as source:
        decoder = Watched(source.stream)
        frames = list(kept_frames(source.packets(), decoder, Sampler(fps)))
    return frames, decoder.decoded


class Late(Sampler):
    """Wants nothing for a second of ten pictures."""

    def use(
        self, arrival: float, *, is_keyframe: bool, is_open: bool = True, looks: bool = False
    ) -> Use:
        chosen = super().use(arrival, is_keyframe=is_keyframe, is_open=is_open, looks=looks)
        return Use.HOLD if next(self.seen) < 9 else chosen

    def __init__(self) -> None:
        super().__init__(5.0)
        self.seen = count()


def test_each_packet_of_many_that_are_decoded_at_once_is_progress(clip: Path) -> None:
    with open_source(str(clip)) as source:
        decoder, seen = Watched(source.stream), list[int]()
        frames = kept_frames(
            source.packets(), decoder, Late(), None, lambda: seen.append(decoder.decoded)
        )
        next(frames)
    assert seen == list(range(10))


def test_sampling_slower_than_keyframes_come_decodes_little_else(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", fps=10, seconds=30, gop=5, width=64, height=64)
    frames, decoded = keep(path, fps=1.0)
    assert len(frames) == 30
    assert decoded < 50  # of 300: four keyframe intervals to measure, then one a second
    times = [frame.arrival.pts_s for frame in frames]
    assert times == pytest.approx([float(second) for second in range(30)])


def test_sampling_faster_than_keyframes_come_decodes_everything(clip: Path) -> None:
    frames, decoded = keep(clip, fps=5.0)
    assert (len(frames), decoded) == (20, 40)


def test_reordered_frames_are_sampled_on_the_grid(bframes_clip: Path) -> None:
    frames, _ = keep(bframes_clip, fps=5.0)
    times = [frame.arrival.pts_s for frame in frames]
    assert times[:9] == pytest.approx([index / 5 for index in range(9)])


def test_packets_without_any_frame_are_an_error_that_says_why(opened: Opened, clip: Path) -> None:
    packets, decoder = opened(clip)
    rest = [packet for packet in packets if not packet.is_keyframe]
    with pytest.raises(SourceError, match=r"no decodable frame \(no keyframe came\)"):
        list(kept_frames(rest, decoder, Sampler(2)))

    packets, decoder = opened(clip)
    rng = np.random.default_rng(4)
    broken = [damaged(packet, rng, header=True) for packet in packets]
    with pytest.raises(SourceError, match=r"no decodable frame \((all were|the decoder says)"):
        list(kept_frames(broken, decoder, Sampler(2)))


def test_false_keyframes_lead_to_a_complete_decode(opened: Opened, clip: Path) -> None:
    """With gradual intra refresh a packet is marked as a keyframe that cannot stand alone."""
    packets, decoder = opened(clip)
    clock = count()
    stream = [
        dataclasses.replace(
            packet,
            is_keyframe=packet.is_keyframe or index % 2 == 0,
            arrival=Arrival(0.0, next(clock) / 10, packet.arrival.pts_s),
        )
        for index, packet in enumerate(packets)
    ]
    sampler = Sampler(2)
    frames = list(kept_frames(stream, decoder, sampler))
    assert not sampler.keyframes_only
    assert len(frames) >= 4


def kept_times(path: Path, *, lazily: bool) -> tuple[list[float], int]:
    """Times of the frames kept at 2 a second of a stream in its own time, and frames decoded."""
    with open_source(str(path)) as source:
        packets = [
            dataclasses.replace(
                packet,
                is_keyframe=packet.is_keyframe and (lazily or number == 0),
                arrival=dataclasses.replace(packet.arrival, monotonic=number / 10),
            )
            for number, packet in enumerate(source.packets())
        ]
        decoder = Decoder(source.stream)
        frames = [frame.arrival.monotonic for frame in kept_frames(packets, decoder, Sampler(2))]
        return frames, decoder.frames


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_what_is_never_decoded_changes_no_sample(tmp_path: Path, codec: Codec) -> None:
    path = write_clip(tmp_path / "clip.mp4", codec=codec, fps=10, seconds=24, gop=20)
    lazy, few = kept_times(path, lazily=True)
    complete, all_of_them = kept_times(path, lazily=False)  # as if keyframes were never foreseen
    assert lazy == complete
    assert all_of_them == 240
    assert few < 220
