import io

import av
import numpy as np
import pytest

from edge.video.bitstream.reader import HeaderReader, PictureHeader

WIDTH, HEIGHT = 160, 96


def pictures(count: int) -> list[av.VideoFrame]:
    rng = np.random.default_rng(1)
    still = rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    return [
        av.VideoFrame.from_ndarray(np.roll(still, number, 1), format="rgb24")
        for number in range(count)
    ]


def stream(
    encoder: str, options: dict[str, str], container: str, *, bit_rate: int | None = None
) -> tuple[HeaderReader, list[bytes]]:
    """Encode some pictures; return a reader of them, and the packets."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        made = output.add_stream(encoder, rate=10)
        assert isinstance(made, av.VideoStream)
        made.width, made.height, made.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        made.options, made.thread_count = dict(options), 1
        if bit_rate is not None:
            made.bit_rate = bit_rate
        for picture in pictures(12):
            output.mux(made.encode(picture))
        output.mux(made.encode())
    file.seek(0)
    with av.open(file, "r") as source:
        video = source.streams.video[0]
        reader = HeaderReader(video.codec_context.name, bytes(video.codec_context.extradata or b""))
        return reader, [bytes(packet) for packet in source.demux(video) if packet.size]


def headers(reader: HeaderReader, packets: list[bytes]) -> list[PictureHeader]:
    found = [reader.read(packet) for packet in packets]
    assert None not in found
    return [header for header in found if header is not None]


@pytest.mark.parametrize("container", ["mp4", "mpegts"])
@pytest.mark.parametrize(
    ("encoder", "options"),
    [
        ("libx264", {"qp": "33", "profile": "baseline"}),
        ("libx264", {"qp": "33", "preset": "medium"}),
        ("libx264", {"qp": "33", "x264-params": "interlaced=1:slices=3:weightp=2:ref=4"}),
        ("libx264", {"qp": "33", "x264-params": "bframes=3:b-pyramid=normal:weightb=1"}),
        ("libx265", {"preset": "ultrafast", "x265-params": "qp=33:log-level=none:pools=1"}),
        ("libx265", {"x265-params": "qp=33:log-level=none:pools=1:weightb=1:bframes=3:slices=2"}),
        ("libx265", {"x265-params": "qp=33:log-level=none:pools=1:temporal-layers=2:wpp=1"}),
    ],
)
def test_the_quantiser_is_the_one_that_the_encoder_was_given(
    encoder: str, options: dict[str, str], container: str
) -> None:
    found = headers(*stream(encoder, options, container))
    assert found[0].kind == "I"
    assert {header.quantiser for header in found if header.kind == "P"} == {33}
    assert {header.quantiser for header in found if header.kind == "B"} <= {33, 34, 35}
    assert len(found) == 12


def test_filler_is_no_part_of_a_picture() -> None:
    rate = "bitrate=2000:vbv-maxrate=2000:vbv-bufsize=400:nal-hrd=cbr"
    reader, packets = stream("libx264", {"x264-params": rate, "tune": "zerolatency"}, "mpegts")
    found = headers(reader, packets)
    filled = [(header.size, len(packet)) for header, packet in zip(found, packets, strict=True)]
    assert any(size < 0.9 * whole for size, whole in filled)
    assert all(size <= whole for size, whole in filled)


@pytest.mark.parametrize("container", ["mp4", "mpegts"])
@pytest.mark.parametrize("encoder", ["libx264", "libx265"])
def test_damaged_packets_and_parameter_sets_never_raise(encoder: str, container: str) -> None:
    reader, packets = stream(encoder, {"x265-params": "log-level=none:pools=1"}, container)
    rng = np.random.default_rng(2)
    for number in range(600):
        content = bytearray(packets[number % len(packets)])
        for at in rng.integers(0, min(len(content), 90), 4):
            content[at] = rng.integers(256)
        reader.read(bytes(content[: rng.integers(len(content))]))
    for codec in ("h264", "hevc"):
        HeaderReader(codec, b"\1" + rng.bytes(60)).read(rng.bytes(80))


def test_without_parameter_sets_nothing_is_said() -> None:
    _, packets = stream("libx264", {"tune": "zerolatency"}, "mpegts")
    assert HeaderReader("h264", b"").read(packets[1]) is None


def unit(first: int, *numbers: tuple[int, int] | int) -> bytes:
    """Write a NAL unit: numbers of so many bits, or Exp-Golomb ones."""
    bits = "".join(
        f"{number[0]:0{number[1]}b}"
        if isinstance(number, tuple)
        else "0" * ((number + 1).bit_length() - 1) + f"{number + 1:b}"
        for number in numbers
    )
    bits += "1"
    bits += "0" * (-len(bits) % 8)
    plain = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return b"\0\0\1" + bytes([first]) + plain.replace(b"\0\0", b"\0\0\3")


def h264_sequence(number: int = 0) -> bytes:
    return unit(0x67, (66, 8), (0, 16), number, 0, 2, 1, (0, 1), 9, 5, (1, 1))


H264_PICTURES = unit(0x68, 0, 0, (0, 2), 0, 0, 0, (0, 3), 0, 0, 0, (0, 3))


def h264_slice(step: int, kind: int = 7) -> bytes:
    """A keyframe whose quantiser is ``step`` above 26."""
    delta = 2 * step - 1 if step > 0 else -2 * step
    return unit(0x65, 0, kind, 0, (0, 4), 0, (0, 2), delta)


@pytest.mark.parametrize(
    ("step", "quantiser"),
    [(0, 26), (25, 51), (26, None), (274, None), (5000, None), (-74, -48), (-75, None)],
)
def test_a_quantiser_that_no_encoder_has_is_not_read(step: int, quantiser: int | None) -> None:
    found = HeaderReader("h264", b"").read(h264_sequence() + H264_PICTURES + h264_slice(step))
    assert (None if found is None else found.quantiser) == quantiser


def test_numbers_that_the_standard_does_not_allow_are_not_read() -> None:
    reader = HeaderReader("h264", b"")
    assert reader.read(h264_sequence(31) + H264_PICTURES + h264_slice(0)) is None  # another one
    assert reader.read(h264_sequence() + h264_slice(0, kind=10)) is None
    assert reader.read(h264_slice(0)) is not None
    for number in range(32, 300):
        reader.read(h264_sequence(number))
    assert set(reader._avc[0]) == {0, 31}


def test_a_parameter_set_that_no_encoder_writes_is_not_read() -> None:
    for padding, read in ((3_000, True), (100_000, False)):
        reader = HeaderReader("h264", b"")
        reader.read(h264_sequence() + b"\x55" * padding)
        assert (reader.read(H264_PICTURES + h264_slice(0)) is not None) == read
        assert sum(map(len, reader._sets)) < 4096


def test_a_picture_behind_thousands_of_units_is_not_looked_for() -> None:
    sets = b"".join(unit(0x68, 1 + number % 200, number) for number in range(5_000))
    reader = HeaderReader("h264", h264_sequence() + H264_PICTURES)
    assert reader.read(sets + h264_slice(0)) is None
    assert len(reader._avc[1]) <= 65
    assert reader.read(h264_slice(0)) is not None
