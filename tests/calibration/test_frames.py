"""Calibration sets: through the device's own eyes, large enough, and not all one picture."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from calibration.frames import calibration_set, frames_of
from calibration.limits import MIN_FRAMES
from edge.errors import ModelError, SourceError
from edge.model.bundle.manifest import ImageSpec
from edge.testing.synthetic import moving_square, write_clip
from edge.video.preprocess import Preprocessor

SPEC = ImageSpec(
    height=24, width=32, resize="letterbox", interpolation="bicubic",
    mean=(127,) * 3, std=(128,) * 3,
)  # fmt: skip
RNG = np.random.default_rng(5)


def scenes(count: int) -> np.ndarray:
    return RNG.integers(-128, 128, (count, 3, 4, 6), np.int8)


def test_a_set_is_its_frames_and_their_mirror_images() -> None:
    frames = scenes(MIN_FRAMES)
    chosen = calibration_set(frames)
    assert np.array_equal(chosen[:MIN_FRAMES], frames)
    assert np.array_equal(chosen[MIN_FRAMES:, :, :, 0], frames[..., -1])
    assert chosen.shape == (2 * MIN_FRAMES, 3, 4, 6)


@pytest.mark.parametrize("count", [0, 1, MIN_FRAMES - 1])
def test_too_few_frames_are_refused(count: int) -> None:
    with pytest.raises(ModelError, match=f"has {count} frames, expected at least {MIN_FRAMES}"):
        calibration_set(scenes(count))


def test_one_picture_many_times_is_refused_however_colourful() -> None:
    with pytest.raises(ModelError, match=r"differ by 0\.0 of 255, .* footage of other scenes"):
        calibration_set(scenes(1).repeat(2 * MIN_FRAMES, axis=0))


def test_noise_on_one_picture_is_no_variety() -> None:
    still = RNG.integers(-100, 100, (1, 3, 4, 6)).repeat(MIN_FRAMES, axis=0)
    noisy = (still + RNG.normal(0, 2, still.shape)).astype(np.int8)
    with pytest.raises(ModelError, match=r"differ by [12]\.\d of 255"):
        calibration_set(noisy)


def test_a_clip_is_sampled_in_time_and_seen_as_the_device_sees_it(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", fps=10, seconds=2, gop=5, width=64, height=48)
    frames = frames_of(clip, SPEC, fps=5)
    assert frames.shape == (10, 3, 24, 32)
    assert frames.dtype == np.int8
    with av.open(clip) as container:
        decoded = list(container.decode(video=0))
    preprocess = Preprocessor(SPEC)
    assert np.array_equal(frames, np.stack([preprocess(frame) for frame in decoded[::2]]))


def test_a_clip_is_seen_as_it_is_to_be_shown(tmp_path: Path) -> None:
    scene = moving_square(96, 48)

    def stored(time_s: float) -> np.ndarray:  # on its side, every other column left out
        return np.ascontiguousarray(np.rot90(scene(time_s), 1)[:, ::2])

    plain = write_clip(tmp_path / "plain.mp4", width=96, height=48, pattern=scene)
    odd = write_clip(
        tmp_path / "odd.mp4",
        width=24,
        height=96,
        pixel_aspect=Fraction(2),
        turn=270,
        pattern=stored,
    )
    seen, wanted = (frames_of(path, SPEC, fps=5).astype(int) for path in (odd, plain))
    upside_down = np.abs(seen[:, :, ::-1] - wanted).mean()  # the control
    assert upside_down > 6
    assert np.abs(seen - wanted).mean() < 3


def test_a_photograph_is_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    red = np.full((48, 64, 3), (250, 10, 10), np.uint8)
    with av.open(path, "w", format="image2") as container:
        stream = container.add_stream("png", width=64, height=48, pix_fmt="rgb24")
        container.mux(stream.encode(av.VideoFrame.from_ndarray(red, format="rgb24")))
    [frame] = frames_of(path, SPEC, fps=1)
    assert (frame[0] == 250 - 128).all()
    assert (frame[1:] == 10 - 128).all()


def test_a_file_that_is_no_video_is_a_source_error(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a video")
    with pytest.raises(SourceError, match="notes"):
        frames_of(path, SPEC, fps=1)
