"""Which of several video streams is watched."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
import pytest
from av.stream import Disposition

from edge.errors import SourceError
from edge.testing import Clip, TestCamera
from edge.video.decode import Decoder, kept_frames
from edge.video.sampler import Sampler
from edge.video.sources import open_source

DEFAULT, PLAIN = Disposition.default, Disposition(0)
_PIXELS = {"mjpeg": "yuvj420p", "png": "rgb24", "libx264": "yuv420p"}

# Codec, number of pictures, disposition.
Part = tuple[Literal["mjpeg", "png", "libx264"], int, Disposition]
VIDEO: Part = ("libx264", 20, PLAIN)
STILL: Part = ("mjpeg", 1, PLAIN)


def write(path: Path, parts: Sequence[Part], *, audio_first: bool = False) -> Path:
    """Write a container with one video stream for each part, 64 pixels wider than the last."""
    with av.open(path, "w") as out:
        if audio_first:
            sound = out.add_stream("aac", rate=8000)
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            silence.rate = 8000
        streams = []
        for index, (codec, _, disposition) in enumerate(parts):
            stream = out.add_stream(codec, rate=10)
            stream.width, stream.height = 64 * (index + 1), 48
            stream.pix_fmt, stream.disposition = _PIXELS[codec], disposition
            streams.append(stream)
        if audio_first:
            out.mux(sound.encode(silence) + sound.encode(None))
        for stream, (_, count, _) in zip(streams, parts, strict=True):
            for number in range(count):
                picture = av.VideoFrame(stream.width, stream.height, stream.pix_fmt or "")
                picture.pts, picture.time_base = number, Fraction(1, 10)
                out.mux(stream.encode(picture))
            out.mux(stream.encode(None))
    return path


def chosen(path: Path) -> tuple[int, str, str | None]:
    with open_source(str(path)) as source:
        return source.stream.index, source.stream.codec_context.name, source.choice


@pytest.mark.parametrize(
    ("container", "codec"), [("mp4", "mjpeg"), ("mp4", "png"), ("mkv", "mjpeg"), ("avi", "mjpeg")]
)
@pytest.mark.parametrize("disposition", [PLAIN, DEFAULT])
def test_a_still_before_the_video_is_passed_over_also_where_it_is_the_default(
    tmp_path: Path, container: str, codec: Literal["mjpeg", "png"], disposition: Disposition
) -> None:
    path = write(tmp_path / f"drone.{container}", [(codec, 1, disposition), VIDEO])
    words = f"video stream #1 (h264 128x48), not #0 ({codec} 64x48)"
    assert chosen(path) == (1, "h264", words)


def test_the_first_stream_would_have_been_the_still(tmp_path: Path) -> None:
    path = write(tmp_path / "drone.mp4", [("mjpeg", 1, DEFAULT), VIDEO])
    with av.open(path) as container:
        best = container.streams.best("video")
        assert best is not None
        # FFmpeg itself takes a still that is the default.
        assert [each.index for each in container.streams.video[:1]] == [best.index] == [0]


def test_a_cover_picture_is_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path / "film.mp4", [("mjpeg", 1, Disposition.attached_pic), VIDEO])
    assert chosen(path)[1] == "h264"


def test_a_file_with_a_cover_picture_only_is_a_clear_error(tmp_path: Path) -> None:
    path = write(tmp_path / "song.mp4", [("mjpeg", 1, Disposition.attached_pic)], audio_first=True)
    with pytest.raises(SourceError, match="has a cover picture only, expected a video"):
        open_source(str(path))


@pytest.mark.parametrize(("first", "second", "index"), [(PLAIN, DEFAULT, 1), (DEFAULT, PLAIN, 0)])
def test_of_several_videos_the_one_is_taken_that_ffmpeg_calls_best(
    tmp_path: Path, first: Disposition, second: Disposition, index: int
) -> None:
    path = write(tmp_path / "two.mkv", [("libx264", 20, first), ("libx264", 20, second)])
    with av.open(path) as container:
        best = container.streams.best("video")
        assert best is not None
        assert best.index == index
    assert chosen(path)[0] == index


def test_a_video_of_stills_is_a_video_where_it_is_the_only_one(tmp_path: Path) -> None:
    assert chosen(write(tmp_path / "motion.avi", [("mjpeg", 20, PLAIN)])) == (0, "mjpeg", None)
    assert chosen(write(tmp_path / "still.mp4", [STILL])) == (0, "mjpeg", None)


def test_sound_before_the_video_does_not_matter(tmp_path: Path) -> None:
    assert chosen(write(tmp_path / "film.mp4", [VIDEO], audio_first=True)) == (1, "h264", None)


@pytest.mark.parametrize(
    ("others", "words"),
    [
        (["m=video 0 RTP/AVP 26"], "video stream #1 (h264 128x48), not #0 (mjpeg)"),
        (
            ["m=video 0 RTP/AVP 111\na=rtpmap:111 X-PRIVATE/90000", "m=audio 0 RTP/AVP 0"],
            "video stream #1 (h264 128x48), not #0 (no decoder)",
        ),
        ([], None),
    ],
)
def test_a_camera_may_describe_other_media_before_its_video(
    tmp_path: Path, others: list[str], words: str | None
) -> None:
    clip = Clip.read(write(tmp_path / "clip.mp4", [STILL, VIDEO]))
    with TestCamera({"yard": clip}) as camera:
        camera.faults.other_media = others
        with open_source(camera.url("yard")) as source:
            frames = kept_frames(source.packets(), Decoder(source.stream), Sampler(10))
            assert next(frames).picture.width == 128
            assert source.choice == words
