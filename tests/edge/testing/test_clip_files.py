"""Reading clips, and the files that cannot be served."""

from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import SourceError
from edge.testing import Clip
from edge.testing.clip import Codec, split_annex_b
from edge.testing.synthetic import write_clip


@pytest.mark.parametrize(("codec", "sets"), [("h264", 2), ("hevc", 3)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("bframes", [0, 2])
def test_every_container_gives_the_same_access_units(
    tmp_path: Path, codec: Codec, sets: int, suffix: str, bframes: int
) -> None:
    path = write_clip(
        tmp_path / f"a{suffix}", codec=codec, width=64, height=64, bframes=bframes, seconds=1
    )
    clip = Clip.read(path)
    assert clip.codec == codec
    assert len(clip.parameter_sets) == sets
    assert clip.duration_s == pytest.approx(1.0, abs=0.002)
    assert [unit.keyframe for unit in clip.units] == [True] + [False] * 9
    assert [unit.dts_s for unit in clip.units] == pytest.approx(
        [number / 10 for number in range(10)], abs=0.002
    )
    shown = sorted(unit.pts_s for unit in clip.units)
    assert shown == pytest.approx([number / 10 for number in range(10)], abs=0.002)
    in_order = shown == [unit.pts_s for unit in clip.units]
    assert in_order == (bframes == 0)


NALS = st.lists(
    st.binary(min_size=1, max_size=20)
    .filter(lambda nal: b"\0\0" not in nal and nal[-1] != 0)
    .filter(lambda nal: not nal.startswith(b"\0")),
    max_size=5,
)


@given(NALS, st.sampled_from([b"\0\0\1", b"\0\0\0\1", b"\0\0\0\0\0\1"]))
def test_annex_b_is_split_at_start_codes_of_any_length(
    nals: list[bytes], start_code: bytes
) -> None:
    assert split_annex_b(b"".join(start_code + nal for nal in nals)) == tuple(nals)


def test_a_file_that_is_no_video_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "note.mp4").write_text("not a video")
    with pytest.raises(SourceError, match=r"note\.mp4: expected a readable video"):
        Clip.read(tmp_path / "note.mp4")
    with pytest.raises(SourceError, match=r"missing\.mp4: expected a readable video"):
        Clip.read(tmp_path / "missing.mp4")


def test_another_codec_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "old.avi"
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        picture = np.zeros((64, 64, 3), dtype=np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    with pytest.raises(SourceError, match=r"H\.264 or H\.265 video, found mpeg4; convert it"):
        Clip.read(path)


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        silence = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono"
        )
        silence.rate = 8000
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    with pytest.raises(SourceError, match="expected a video stream, found none"):
        Clip.read(path)


def test_a_bare_stream_without_times_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "bare.h264", width=64, height=64, seconds=1)
    with pytest.raises(SourceError, match="expected a timestamp on every packet"):
        Clip.read(path)


def test_a_synthetic_clip_is_the_same_every_time_and_moves(tmp_path: Path) -> None:
    one, two = (
        write_clip(tmp_path / name, width=64, height=64, gop=5, seconds=1)
        for name in ("one.mp4", "two.mp4")
    )
    assert one.read_bytes() == two.read_bytes()
    assert [unit.keyframe for unit in Clip.read(one).units] == ([True] + [False] * 4) * 2
    with av.open(one) as container:
        first, *_, last = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    assert np.abs(first.astype(int) - last).max() > 50
