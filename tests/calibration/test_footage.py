"""Calibration frames out of folders: different ones, few, the same each time, bad files named."""

from pathlib import Path

import av
import numpy as np
import pytest

from calibration.footage import clips_of, farthest, files_of, read_footage, thumbnail
from calibration.frames import frames_of
from calibration.limits import MIN_FRAMES
from edge.errors import ModelError
from edge.model.bundle.manifest import ImageSpec
from edge.testing.synthetic import write_clip

SPEC = ImageSpec(
    height=24, width=32, resize="stretch", interpolation="bilinear", mean=(127,) * 3, std=(128,) * 3
)
RNG = np.random.default_rng(9)


def write_picture(path: Path, colour: np.ndarray) -> Path:
    picture = np.broadcast_to(colour.astype(np.uint8), (24, 32, 3)).copy()
    with av.open(path, "w", format="image2") as container:
        stream = container.add_stream("png", width=32, height=24, pix_fmt="rgb24")
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
    return path


def colours(count: int) -> np.ndarray:
    """Colours that differ by several levels each."""
    steps = np.arange(count) * 5
    return np.stack([steps % 250, 250 - steps % 250, steps // 2 % 250], axis=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 different pictures, in a folder within the folder, each there twice."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "more").mkdir()
    for index, colour in enumerate(colours(40)):
        for where in ("", "more"):
            write_picture(folder / where / f"{index:02}.png", colour)
    return folder


def test_a_folder_gives_its_different_pictures_once_and_in_order(folder: Path) -> None:
    files = files_of(folder)
    assert len(files) == 80
    footage = read_footage(files, SPEC)
    assert (footage.seen, footage.skipped) == (80, {})
    expected = [frames_of(file, SPEC, 1)[0] for file in files[:40]]
    assert np.array_equal(footage.frames, expected)


def test_few_frames_are_those_that_differ_most() -> None:
    """Nine nights and one day: the day must be among the first two."""
    nights = RNG.normal(0, 3, (9, 192))
    day = np.full((1, 192), 200.0)
    rows = np.concatenate([nights[:5], day, nights[5:]]).astype(np.float32)
    assert 5 in farthest(rows, 2)
    assert farthest(rows, 10) == list(range(10))
    assert farthest(np.repeat(rows[:1], 5, axis=0), 5) == [0]


def test_the_number_is_bounded_however_much_there_is_and_the_choice_is_stable(folder: Path) -> None:
    footage = read_footage(files_of(folder), SPEC, count=MIN_FRAMES)
    assert len(footage.frames) == MIN_FRAMES
    assert footage.seen == 80
    again = read_footage(files_of(folder), SPEC, count=MIN_FRAMES)
    assert np.array_equal(again.frames, footage.frames)


def test_a_long_video_is_thinned_out_on_the_way(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", fps=10, seconds=20, gop=10, width=64, height=48)
    every = frames_of(clip, SPEC, 10)
    footage = read_footage([clip], SPEC, fps=10, count=MIN_FRAMES)
    assert footage.seen == len(every) == 200 > 4 * MIN_FRAMES
    positions = [
        next(i for i, frame in enumerate(every) if np.array_equal(frame, chosen))
        for chosen in footage.frames
    ]
    assert positions == sorted(positions)
    assert len(positions) == MIN_FRAMES


def test_a_file_that_cannot_be_read_is_named_and_does_not_stop_the_rest(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes((folder / "00.png").read_bytes()[:60])
    footage = read_footage([broken, *files_of(folder)], SPEC)
    assert len(footage.frames) == 40
    assert list(footage.skipped) == [broken]
    assert "broken.jpg" in caplog.text


def test_only_unreadable_files_are_an_error_with_the_first_reason(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(ModelError, match=r"1 files that cannot be read, the first: .*notes\.txt"):
        read_footage(files_of(tmp_path), SPEC)


def test_an_empty_folder_and_a_missing_one_are_errors(tmp_path: Path) -> None:
    (tmp_path / ".hidden.png").write_text("x")
    with pytest.raises(ModelError, match=r"for calibration in .*, found an empty folder"):
        files_of(tmp_path)
    with pytest.raises(ModelError, match=r"for calibration in .*gone, found nothing"):
        files_of(tmp_path / "gone")


def test_one_picture_under_many_names_is_refused(tmp_path: Path) -> None:
    for index in range(50):
        write_picture(tmp_path / f"{index}.png", np.array([200, 30, 90]))
    with pytest.raises(ModelError, match=f"at least {MIN_FRAMES} different .* found 1 among 50;"):
        read_footage(files_of(tmp_path), SPEC)


def test_too_few_pictures_say_how_many_could_not_be_read(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(
        ModelError, match=r"found 3 among 3 \(1 files cannot be read\); add footage"
    ):
        read_footage([*files_of(folder)[:3], tmp_path / "notes.txt"], SPEC)


def test_a_thumbnail_is_the_mean_colour_of_each_part() -> None:
    frame = np.zeros((3, 24, 32), np.int8)
    frame[1, :3, :4] = 80  # the first of 8 x 8 parts
    small = thumbnail(frame).reshape(3, 8, 8)
    assert small[1, 0, 0] == 80
    assert np.count_nonzero(small) == 1
    odd = np.full((3, 25, 33), 7, np.int8)
    assert (thumbnail(odd) == 7).all()


@pytest.mark.parametrize(("height", "width"), [(7, 32), (24, 3), (1, 1)])
def test_a_thumbnail_of_few_rows_repeats_them(height: int, width: int) -> None:
    frame = RNG.integers(-128, 128, (3, height, width)).astype(np.int8)
    rows, columns = (np.arange(8) * side // 8 for side in (height, width))
    small = thumbnail(frame).reshape(3, 8, 8)
    if height < 8:
        assert np.array_equal(small, thumbnail(frame[:, rows]).reshape(3, 8, 8))
    if width < 8:
        assert np.array_equal(small, thumbnail(frame[:, :, columns]).reshape(3, 8, 8))


def test_clips_are_neighbouring_frames() -> None:
    frames = np.arange(11, dtype=np.int8).repeat(3).reshape(11, 3, 1, 1)
    clips = clips_of(frames, 4)
    assert clips.shape == (2, 4, 3, 1, 1)
    assert clips[1, :, 0, 0, 0].tolist() == [4, 5, 6, 7]
