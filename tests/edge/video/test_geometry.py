"""What a stream says of how its pictures are to be seen, and what a user says in its place.

The picture has another colour in each corner, so each turn and each mirror image is told apart.
"""

import gc
import itertools
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from av.video.reformatter import Colorspace
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from edge.testing import Clip, TestCamera
from edge.testing.synthetic import write_clip
from edge.video.decode import Decoder, kept_frames
from edge.video.geometry import (
    AS_STORED,
    Geometry,
    GeometrySettings,
    Orientation,
    is_plausible,
    stated_orientation,
    upright,
    whole_shape,
)
from edge.video.packet import MAX_PIXELS
from edge.video.sampler import Sampler
from edge.video.sources import open_source

Picture = NDArray[np.uint8]
WIDTH, HEIGHT = 160, 96


def corners(width: int = WIDTH, height: int = HEIGHT) -> Picture:
    """Red, green, blue and white quarters, from the upper left in the order of reading."""
    quarters = np.array([[[220, 30, 30], [30, 220, 30]], [[30, 30, 220], [220, 220, 220]]], "u1")
    return quarters[np.arange(height) * 2 // height][:, np.arange(width) * 2 // width]


def write(path: Path, **facts: object) -> Path:
    more = {"width": WIDTH, "height": HEIGHT, "fps": 10, "seconds": 2, "gop": 10} | facts
    width, height = more["width"], more["height"]
    assert isinstance(width, int)
    assert isinstance(height, int)
    return write_clip(path, pattern=lambda _: corners(width, height), **more)  # type: ignore[arg-type]


def seen(
    url: Path | str, settings: GeometrySettings | None = None, count: int = 20
) -> list[Picture]:
    with open_source(str(url)) as source:
        decoder = Decoder(source.stream, settings)
        kept = kept_frames(source.packets(), decoder, Sampler(60))
        return [rgb(frame.picture) for frame in itertools.islice(kept, count)]


def rgb(picture: av.VideoFrame) -> Picture:
    return np.asarray(picture.to_ndarray(format="rgb24"), np.uint8)


def shows(picture: Picture, wanted: Picture) -> bool:
    """Whether a picture has the size and, in each corner, the colour of another one."""
    if picture.shape != wanted.shape:
        return False
    middles = np.ix_(*([length // 4, 3 * length // 4] for length in wanted.shape[:2]), range(3))
    return bool(np.abs(picture[middles].astype(int) - wanted[middles]).max() < 40)


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts", "avi", "h264"])
@pytest.mark.parametrize(("aspect", "size"), [((2, 1), (320, 96)), ((1, 2), (160, 192))])
def test_pixels_that_are_not_square_are_shown_as_square(
    tmp_path: Path, container: str, aspect: tuple[int, int], size: tuple[int, int]
) -> None:
    path = write(tmp_path / f"clip.{container}", pixel_aspect=Fraction(*aspect))
    pictures = seen(path)
    assert len(pictures) == 20
    assert all(shows(picture, corners(*size)) for picture in pictures)


@pytest.mark.parametrize("container", ["mp4", "mkv"])
@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_containers_matrix_turns_and_mirrors(
    tmp_path: Path, container: str, turn: int, mirrored: bool
) -> None:
    path = write(tmp_path / f"clip.{container}", turn=turn, mirrored=mirrored)
    wanted = np.rot90(corners(), turn // 90)
    wanted = wanted[:, ::-1] if mirrored else wanted
    assert all(shows(picture, wanted) for picture in seen(path))
    assert shows(corners(), wanted) == (turn == 0 and not mirrored)  # the control


def test_a_picture_shown_as_it_is_stored_is_noticed(tmp_path: Path) -> None:
    """The control: frames before ``upright`` do not look as they are to be seen."""
    for facts, wanted in (
        ({"pixel_aspect": Fraction(2)}, corners(320, 96)),
        ({"turn": 180}, np.rot90(corners(), 2)),
    ):
        with open_source(str(write(tmp_path / "clip.mp4", **facts))) as source:
            decoder = Decoder(source.stream)
            frames = [frame for packet in source.packets() for frame in decoder.decode(packet)]
        assert not any(shows(rgb(frame.picture), wanted) for frame in frames)
        assert all(shows(rgb(frame.upright().picture), wanted) for frame in frames)


def test_a_picture_is_turned_by_any_angle_and_nothing_is_cut_off(tmp_path: Path) -> None:
    [picture] = seen(write(tmp_path / "clip.mp4", turn=30), count=1)
    cosine, sine = np.cos(np.pi / 6), np.sin(np.pi / 6)
    height, width = picture.shape[:2]
    assert width == pytest.approx(WIDTH * cosine + HEIGHT * sine, abs=2)
    assert height == pytest.approx(WIDTH * sine + HEIGHT * cosine, abs=2)
    # Counter-clockwise by 30 degrees: the middle of the red quarter goes to the left and down.
    x, y = -WIDTH / 4, -HEIGHT / 4
    column, row = x * cosine + y * sine + width / 2, -x * sine + y * cosine + height / 2
    assert np.abs(picture[round(row), round(column)].astype(int) - (220, 30, 30)).max() < 40
    assert picture[2, 2].max() < 40  # a corner that has appeared


def test_stored_pixels_are_widened_before_the_picture_is_turned(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4", pixel_aspect=Fraction(2), turn=90)
    assert all(shows(picture, np.rot90(corners(320, 96))) for picture in seen(path))


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        (None, corners()),
        (GeometrySettings(rotate=0), corners()),
        (GeometrySettings(rotate=90), np.rot90(corners(), -1)),
        (GeometrySettings(aspect=Fraction(16, 9)), corners(171, 96)),
    ],
)
def test_a_stream_that_says_nothing_is_shown_as_it_is_unless_the_user_says_more(
    tmp_path: Path, settings: GeometrySettings | None, wanted: Picture
) -> None:
    path = write(tmp_path / "clip.mp4")
    assert all(shows(picture, wanted) for picture in seen(path, settings))


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_what_the_user_says_replaces_what_the_stream_says(tmp_path: Path, rotate: int) -> None:
    path = write(tmp_path / "clip.mp4", pixel_aspect=Fraction(2), turn=90)
    settings = GeometrySettings(Fraction(5, 3), rotate)
    # 5:3 is the shape of the upright picture, whichever way it is stored.
    wanted = np.rot90(corners() if rotate % 180 == 0 else corners(160, 267), -rotate // 90)
    [picture] = seen(path, settings, count=1)
    assert picture.shape[1] / picture.shape[0] == pytest.approx(5 / 3, rel=0.01)
    assert shows(picture, wanted)


@pytest.mark.parametrize("bframes", [0, 3])
def test_a_pixel_aspect_that_changes_in_the_stream_is_followed_to_the_frame(
    tmp_path: Path, bframes: int
) -> None:
    parts = [
        write(tmp_path / f"{index}.h264", pixel_aspect=aspect, bframes=bframes)
        for index, aspect in enumerate([Fraction(2), Fraction(1, 2), None])
    ]
    path = tmp_path / "all.h264"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with open_source(str(path)) as source:
        decoder = Decoder(source.stream)
        frames = [frame for packet in source.packets() for frame in decoder.decode(packet)]
        sizes = [rgb(frame.upright().picture).shape[:2] for frame in frames + decoder.flush()]
    assert sizes == [(96, 320)] * 20 + [(192, 160)] * 20 + [(96, 160)] * 20


def test_what_the_container_says_counts_before_what_the_codec_says(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4", pixel_aspect=Fraction(2))
    both = path.read_bytes()
    assert both.count(b"pasp") == 1
    place = both.index(b"pasp") + 4
    path.write_bytes(both[:place] + struct.pack(">II", 1, 2) + both[place + 8 :])
    assert all(shows(picture, corners(160, 192)) for picture in seen(path))


def test_what_the_codec_says_with_a_keyframe_holds_until_the_next(tmp_path: Path) -> None:
    """FFmpeg attaches the matrix of the SEI to the frame that carries it, and to no other."""
    plain = write(tmp_path / "plain.h264", seconds=1)
    turned = turned_by_the_codec(plain, tmp_path / "turned.h264")
    both = tmp_path / "both.h264"
    both.write_bytes(turned.read_bytes() + plain.read_bytes())
    pictures = seen(both)
    assert [shows(each, np.rot90(corners())) for each in pictures] == [True] * 10 + [False] * 10
    assert [shows(each, corners()) for each in pictures] == [False] * 10 + [True] * 10


def turned_by_the_codec(plain: Path, target: Path) -> Path:
    """Copy a clip; its first keyframe says that the picture is to be turned (SEI)."""
    with av.open(plain) as old, av.open(target, "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        says = BitStreamFilterContext("h264_metadata=display_orientation=insert:rotate=90", stream)
        for packet in old.demux(stream):
            for changed in says.filter(packet) if packet.size else ():
                changed.stream = copy
                new.mux(changed)
    return target


def test_a_camera_over_rtsp_is_shown_as_its_codec_says(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4", pixel_aspect=Fraction(2), gop=2)
    with TestCamera({"yard": Clip.read(path)}) as camera:
        pictures = seen(camera.url("yard"), count=3)
    assert all(shows(picture, corners(320, 96)) for picture in pictures)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_shown_as_its_exif_says(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo.jpg"
    Image.fromarray(corners()).save(path, exif=exif)
    [picture] = seen(path, count=1)
    assert shows(picture, np.asarray(ImageOps.exif_transpose(Image.open(path))))


@pytest.mark.parametrize("aspect", [Fraction(5), Fraction(1, 5), Fraction(40)])
def test_an_absurd_pixel_aspect_counts_as_none_and_is_kept_for_the_report(
    tmp_path: Path, aspect: Fraction
) -> None:
    path = write(tmp_path / "clip.h264", pixel_aspect=aspect)
    with open_source(str(path)) as source:
        decoder = Decoder(source.stream)
        frame = next(kept_frames(source.packets(), decoder, Sampler(10)))
    assert shows(rgb(frame.picture), corners())
    assert decoder.implausible == aspect
    assert not is_plausible(aspect)


def test_a_large_picture_is_not_enlarged_beyond_the_largest_accepted() -> None:
    stored = av.VideoFrame(4000, 3000, "gray")
    for geometry in (Geometry(Fraction(4)), Geometry(Fraction(1, 4), Orientation(45.0))):
        shown = upright(stored, geometry)
        assert shown.width * shown.height <= MAX_PIXELS * 1.001
    wide = upright(stored, Geometry(Fraction(4)))
    assert wide.width / wide.height == pytest.approx(16 / 3, rel=0.001)


def test_a_picture_that_is_stored_as_it_is_seen_costs_nothing() -> None:
    stored = av.VideoFrame(64, 48, "yuv420p")
    assert upright(stored, AS_STORED) is stored
    assert upright(stored, Geometry(Fraction(1001, 1000), Orientation(359.9))) is stored


@pytest.mark.parametrize(
    "pixel_format", ["yuv420p", "yuvj420p", "yuv422p", "nv12", "gray", "yuv420p10le", "rgb24"]
)
@pytest.mark.parametrize("is_full", [False, True])
def test_colours_stay_as_they_are(pixel_format: str, *, is_full: bool) -> None:
    stored = av.VideoFrame.from_ndarray(corners(), "rgb24").reformat(format=pixel_format)
    if pixel_format in {"yuv420p", "yuv422p", "nv12", "yuv420p10le"}:
        stored.colorspace, stored.color_range = Colorspace.ITU709, 2 if is_full else 1
    turned = upright(stored, Geometry(orientation=Orientation(90.0)))
    if pixel_format == "yuv420p":
        assert (turned.colorspace, turned.color_range) == (stored.colorspace, stored.color_range)
    assert np.abs(rgb(turned).astype(int) - np.rot90(rgb(stored), -1)).mean() < 1.5


@pytest.mark.parametrize(
    ("size", "whole"),
    [
        ((960, 1080), "16:9"),
        ((640, 720), "16:9"),
        ((480, 540), "16:9"),
        ((1920, 540), "16:9"),
        ((352, 576), "4:3"),
        ((352, 480), "4:3"),
        ((704, 288), "4:3"),
        ((704, 240), "4:3"),
    ],
)
def test_half_a_picture_is_recognised_by_its_shape(size: tuple[int, int], whole: str) -> None:
    assert whole_shape(*size) == whole


@pytest.mark.parametrize(
    "size",
    [(1920, 1080), (640, 360), (640, 480), (704, 576), (720, 480), (352, 288), (1280, 1024),
     (1080, 1920), (480, 640), (1536, 2048), (1024, 1024), (3840, 1080), (4608, 1728),
     (1536, 432), (896, 512), (2560, 1080)],
)  # fmt: skip
def test_whole_pictures_are_not_taken_for_halves(size: tuple[int, int]) -> None:
    assert whole_shape(*size) is None


def test_frames_that_need_turning_are_the_kept_ones_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turned: list[object] = []
    original: Callable[[av.VideoFrame, Geometry], av.VideoFrame] = upright

    def counted(picture: av.VideoFrame, geometry: Geometry) -> av.VideoFrame:
        turned.append(picture)
        return original(picture, geometry)

    monkeypatch.setattr("edge.video.decode.upright", counted)
    path = write(tmp_path / "clip.mp4", turn=90)
    with open_source(str(path)) as source:
        kept = list(kept_frames(source.packets(), Decoder(source.stream), Sampler(1)))
    assert len(turned) == len(kept) == 2


READ_PICTURES = """
import gc, sys
import av
from edge.video.geometry import stated_orientation
for _ in range(20):
    with av.open(sys.argv[1]) as file:
        for frame in file.decode(video=0):
            assert stated_orientation(frame, file.streams.video[0].codec_context.name) is None
    gc.collect()
"""


def test_a_picture_with_a_named_colour_profile_does_not_end_the_process(tmp_path: Path) -> None:
    """PyAV frees the profile's name twice; so in a process of its own."""
    picture = tmp_path / "profile.png"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.new("RGB", (8, 8)).save(picture, icc_profile=profile)
    done = subprocess.run(
        [sys.executable, "-c", READ_PICTURES, picture],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr[-500:]) == (0, "")


def test_what_a_frame_says_does_not_keep_its_pixels(tmp_path: Path) -> None:
    """Only Python's full collection, which may come after an hour, would free a cycle of frames."""

    def frames_left(read: Callable[[av.VideoFrame], object]) -> int:
        write_clip(tmp_path / "clip.mp4", width=64, height=48, seconds=0.5)
        gc.collect()
        gc.disable()
        try:
            with av.open(tmp_path / "clip.mp4") as container:
                for frame in container.decode(video=0):
                    read(frame)
                    del frame
            return sum(type(each) is av.VideoFrame for each in gc.get_objects())
        finally:
            gc.enable()

    assert frames_left(lambda frame: stated_orientation(frame, "h264")) == 0
    assert frames_left(lambda frame: stated_orientation(frame, "png")) == 0
    assert frames_left(lambda frame: frame.side_data) > 0  # the control
