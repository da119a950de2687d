import io
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from known import known
from numpy.typing import NDArray
from patience import Until
from PIL import Image
from watched_camera import take_next

from edge.config.models import SnapshotsConfig
from edge.model.bundle.manifest import ImageSpec
from edge.testing import Clip, TestCamera
from edge.testing.clip import Codec
from edge.testing.synthetic import write_clip
from edge.video.preprocess import Preprocessor
from edge.video.process.camera import ProcessCamera
from edge.video.sample import Sample


def test_samples_come_numbered_stamped_and_announced(
    camera: TestCamera, watch: Callable[..., ProcessCamera], until: Until
) -> None:
    woken = threading.Event()
    worker = watch(camera.url("yard"), wake=woken.set)
    samples: list[Sample] = []
    while len(samples) < 5:
        assert woken.wait(10)
        woken.clear()
        if (sample := worker.take()) is not None:
            samples.append(sample)
    assert [sample.sequence for sample in samples] == list(
        range(samples[0].sequence, samples[0].sequence + 5)
    )
    assert {(s.camera, s.pixels.shape, s.pixels.dtype.name) for s in samples} == {
        ("yard", (3, 224, 224), "int8")
    }
    assert all(abs(sample.arrival.wall - time.time()) < 5 for sample in samples)
    health = worker.health()
    assert (health.state, health.error, health.reconnects) == ("streaming", None, 0)
    assert health.last_arrival == pytest.approx(time.time(), abs=2)


def test_rates_are_those_of_the_camera_and_of_the_sampler(
    camera: TestCamera, watch: Callable[..., ProcessCamera], until: Until
) -> None:
    worker = watch(camera.url("yard"), fps=5.0)
    until("two seconds of samples", lambda: worker.health().samples >= 11)
    health = worker.health()
    assert health.fps_in == pytest.approx(25, rel=0.15)
    assert health.fps_sampled == pytest.approx(5, rel=0.25)


def test_the_newest_sample_wins_and_the_others_are_counted(
    camera: TestCamera, watch: Callable[..., ProcessCamera], until: Until
) -> None:
    worker = watch(camera.url("yard"))
    until("six samples", lambda: worker.health().samples >= 6)
    sample = known(worker.take())
    health = worker.health()
    assert sample.sequence >= 5
    assert health.dropped == sample.sequence
    assert worker.take() is None or health.samples > sample.sequence + 1


def test_a_snapshot_shows_the_frame_of_its_sample(
    clip: Path,
    watch: Callable[..., ProcessCamera],
    until: Until,
    image_spec: Callable[..., ImageSpec],
) -> None:
    worker = watch(clip)
    sample = take_next(worker, until)
    picture = Image.open(io.BytesIO(known(worker.snapshot(sample.sequence))))
    assert picture.size == (320, 240)
    shown = Preprocessor(image_spec())(frame_of(picture))
    assert np.abs(shown.astype(int) - sample.pixels).mean() < 8
    until("newer samples", lambda: worker.health().samples > sample.sequence + 3)
    assert worker.snapshot(sample.sequence) is not None  # the one that was taken is held
    take_next(worker, until)
    take_next(worker, until)
    assert worker.snapshot(sample.sequence) is None  # and let go for the next


def test_samples_and_snapshots_show_the_picture_as_the_camera_is_configured(
    tmp_path: Path,
    watch: Callable[..., ProcessCamera],
    until: Until,
    image_spec: Callable[..., ImageSpec],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="edge")
    squeezed = write_clip(tmp_path / "squeezed.mp4", fps=10, seconds=4, width=240, height=270)
    worker = watch(squeezed, aspect="9:16", rotate=90)
    sample = take_next(worker, until)
    assert sample.size == (480, 270)  # upright
    picture = Image.open(io.BytesIO(known(worker.snapshot(sample.sequence))))
    assert picture.size == (270, 480)
    shown = Preprocessor(image_spec())(frame_of(picture))
    assert np.abs(shown.astype(int) - sample.pixels).mean() < 8
    assert "camera yard: streaming 270x480" in caplog.text


def frame_of(picture: Image.Image) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")


def test_no_snapshot_where_none_is_wanted(
    camera: TestCamera, watch: Callable[..., ProcessCamera], until: Until
) -> None:
    worker = watch(camera.url("yard"), snapshots=SnapshotsConfig(publish=False))
    assert worker.snapshot(take_next(worker, until).sequence) is None


def test_a_camera_that_hangs_up_is_called_again(
    camera: TestCamera,
    watch: Callable[..., ProcessCamera],
    until: Until,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "edge")
    worker = watch(camera.url("yard"), timeout=5.0)
    before = take_next(worker, until)
    camera.drop()
    until("the failure", lambda: worker.health().state == "retrying")
    assert known(worker.health().error).endswith("/yard ended the stream")
    until("the reconnect", lambda: worker.health().reconnects == 1)
    assert take_next(worker, until).sequence > before.sequence
    health = worker.health()
    assert (health.state, health.error) == ("streaming", None)
    assert "s3cr3t" not in caplog.text
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "INFO"]


def test_a_camera_that_freezes_is_called_stalled_then_called_again(
    camera: TestCamera, watch: Callable[..., ProcessCamera], until: Until
) -> None:
    worker = watch(camera.url("yard"), timeout=1.0)
    take_next(worker, until)
    camera.faults.stall = True
    until("stalled", lambda: worker.health().state == "stalled")
    until("given up", lambda: worker.health().state == "retrying")
    assert known(worker.health().error).endswith("/yard sent no picture for 1 s")
    camera.faults.stall = False
    until("back", lambda: worker.health().state == "streaming")


# FFmpeg takes what comes as the codec that was announced. As H.264 all of H.265 is packets. As H.265
# hardly any of H.264 is: the lowest bit of a NAL unit's header (of 5, 7 and 1) makes it one of a
# layer, which FFmpeg leaves out. What is none (headers of 6, 28) ends no picture.
@pytest.mark.parametrize(
    ("codec", "other", "error", "words"),
    [
        ("h264", "hevc", "sent packets for 0.8 s that are no pictures", "H.265 now; it sent H.264"),
        ("hevc", "h264", "sent no picture for 0.8 s", "H.264 now; it sent H.265"),
    ],
)
def test_a_camera_that_is_set_to_another_codec_is_called_again_soon(
    watch: Callable[..., ProcessCamera],
    until: Until,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    codec: Codec,
    other: Codec,
    error: str,
    words: str,
) -> None:
    clips = {
        name: Clip.read(write_clip(tmp_path / f"{name}.mp4", codec=name, fps=25, gop=10))
        for name in (codec, other)
    }
    with TestCamera({"yard": clips[codec]}) as camera:
        worker = watch(camera.url("yard"), timeout=0.8)
        take_next(worker, until)
        camera.show("yard", clips[other])
        until("the failure", lambda: worker.health().state == "retrying")
        assert f"/yard {error}" in known(worker.health().error)
        until("samples again", lambda: worker.health().reconnects == 1)
        assert f"camera yard: sends {words} before" in caplog.text
        worker.take()
        take_next(worker, until)
        assert worker.health().state == "streaming"


def test_pictures_that_are_all_damaged_are_waited_for(
    camera: TestCamera, watch: Callable[..., ProcessCamera], until: Until
) -> None:
    worker = watch(camera.url("yard"), timeout=1.0)
    take_next(worker, until)
    camera.faults.no_keyframe = True  # after one that was lost, the rest is damaged
    camera.faults.corruption = 0.5
    before = known(worker.health().last_arrival)
    until("two timeouts", lambda: known(worker.health().last_arrival) > before + 2.0)
    assert worker.health().corrupt > 10
    assert worker.health().reconnects == 0
    assert worker.health().state != "retrying"


def test_a_camera_that_was_off_is_found_when_it_comes_on(
    camera: TestCamera, watch: Callable[..., ProcessCamera], until: Until
) -> None:
    camera.power_off()
    worker = watch(camera.url("yard"))
    until("the failure", lambda: worker.health().state == "retrying")
    assert "Connection refused" in known(worker.health().error)
    camera.power_on()
    take_next(worker, until)
    assert worker.health().reconnects == 0  # it had not been there before


def test_a_stream_without_a_keyframe_is_given_up_with_advice(
    camera: TestCamera, watch: Callable[..., ProcessCamera], until: Until
) -> None:
    camera.faults.no_keyframe = True
    worker = watch(camera.url("yard"), timeout=1.0)
    what = "sent packets for 4 s but no decodable frame (no keyframe came)"
    until("the failure", lambda: what in (worker.health().error or ""))
    error = known(worker.health().error)
    assert "keyframe every 2 s" in error
    assert worker.health().fps_in > 5  # packets did come
    camera.faults.no_keyframe = False
    take_next(worker, until)


def test_sampling_more_rarely_than_the_watchdog_waits_is_no_failure(
    tmp_path: Path, watch: Callable[..., ProcessCamera], until: Until
) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, codec="hevc", fps=20, seconds=5, gop=4, width=64, height=64)
    with TestCamera({"yard": path}) as camera:
        worker = watch(camera.url("yard"), fps=0.2, timeout=1.0)  # every 5 s; it waits 4 s
        until("the second sample", lambda: worker.health().samples == 2)
        assert worker.health().reconnects == 0


def test_a_wrong_password_waits_long_and_is_shown_without_the_password(
    camera: TestCamera, watch: Callable[..., ProcessCamera], until: Until
) -> None:
    worker = watch(camera.url("yard", password="other-s3cr3t"))
    until("the refusal", lambda: worker.health().state == "refused")
    assert "(401)" in known(worker.health().error)
    assert "s3cr3t" not in known(worker.health().error)
    time.sleep(1.5)  # an unreachable camera would be tried again by now
    assert worker.health().state == "refused"


def test_damaged_frames_are_counted_and_left_out(
    camera: TestCamera, watch: Callable[..., ProcessCamera], until: Until
) -> None:
    camera.faults.corruption = 0.05
    worker = watch(camera.url("yard"))
    until("damage", lambda: worker.health().corrupt > 0)
    take_next(worker, until)


def test_a_camera_with_hardly_a_sound_picture_is_degraded_until_the_line_is_mended(
    camera: TestCamera, watch: Callable[..., ProcessCamera], until: Until
) -> None:
    worker = watch(camera.url("yard"), judge_s=1.0, timeout=5.0)
    until("a sound stream for two judgements", lambda: worker.health().samples >= 21)
    assert worker.health().state == "streaming"
    camera.faults.corruption = 0.9
    until("degraded", lambda: worker.health().state == "degraded")
    error = known(worker.health().error)
    assert error.startswith("only ")
    assert " of 10 samples a second come: " in error
    assert "are damaged" in error
    camera.faults.corruption = 0.0
    until("streaming", lambda: worker.health().state == "streaming")
    assert worker.health().error is None


def test_a_camera_that_repeats_its_picture_is_frozen_and_gives_no_samples_until_it_moves(
    camera: TestCamera, watch: Callable[..., ProcessCamera], until: Until
) -> None:
    worker = watch(camera.url("yard"), frozen_s=1.5, timeout=5.0)
    take_next(worker, until)
    camera.faults.frozen = True
    until("frozen", lambda: worker.health().state == "frozen")
    assert known(worker.health().error) == "sends the same picture for 1.5 s: restart the camera"
    worker.take()
    samples, packets = worker.health().samples, worker.health().last_arrival
    until("more packets", lambda: known(worker.health().last_arrival) > known(packets) + 0.5)
    assert (worker.take(), worker.health().samples) == (None, samples)
    camera.faults.frozen = False
    take_next(worker, until)
    assert (worker.health().state, worker.health().error) == ("streaming", None)
    assert worker.health().reconnects == 0


def test_a_still_but_noisy_scene_is_not_frozen(
    tmp_path: Path, watch: Callable[..., ProcessCamera], until: Until
) -> None:
    noise = np.random.default_rng(1)

    def draw(_time_s: float) -> NDArray[np.uint8]:
        picture = np.full((240, 320, 3), 90.0)
        picture[60:180, 80:240] = 150.0
        return (picture + noise.normal(0, 1.0, picture.shape)).astype(np.uint8)

    path = write_clip(tmp_path / "still.mp4", fps=20, seconds=4, gop=5, pattern=draw)
    with TestCamera({"yard": path}) as camera:
        worker = watch(camera.url("yard"), frozen_s=1.0)
        until("three seconds", lambda: worker.health().samples >= 30)
        assert worker.health().state == "streaming"


def test_one_bad_camera_does_not_disturb_another(
    camera: TestCamera, watch: Callable[..., ProcessCamera], until: Until, clip: Path
) -> None:
    good = watch(camera.url("yard"))
    with TestCamera({"yard": clip}) as other:
        bad = watch(other.url("yard"))
        take_next(bad, until)
        other.faults.blackhole = True
        before = good.health().samples
        until("the failure", lambda: bad.health().state == "retrying")
        until("ten more", lambda: good.health().samples >= before + 10)
    assert good.health().reconnects == 0


def test_a_file_is_played_at_its_pace_and_ends(
    clip: Path, watch: Callable[..., ProcessCamera], until: Until
) -> None:
    began = time.monotonic()
    woken = threading.Event()
    worker = watch(clip, wake=woken.set)
    until("the end", lambda: worker.health().state == "ended")
    assert time.monotonic() - began >= 3.9
    assert worker.health().samples == pytest.approx(40, abs=2)
    assert woken.is_set()


def test_a_looped_file_goes_on(
    tmp_path: Path, watch: Callable[..., ProcessCamera], until: Until
) -> None:
    path = write_clip(tmp_path / "short.mp4", fps=10, seconds=0.5, gop=5)
    worker = watch(path, loop=True)
    until("more than the file has", lambda: worker.health().samples >= 12)
    assert worker.health().state == "streaming"


def test_a_file_that_is_no_video_is_retried_as_it_may_be_replaced(
    tmp_path: Path, watch: Callable[..., ProcessCamera], until: Until, clip: Path
) -> None:
    path = tmp_path / "clip.mp4"
    path.write_text("not yet")
    worker = watch(path)
    until("the failure", lambda: worker.health().state == "retrying")
    assert "is not a video or picture" in known(worker.health().error)
    path.write_bytes(clip.read_bytes())
    take_next(worker, until)


@pytest.mark.parametrize("title", ["门口摄像机".encode("gbk"), b"K\xfcche \xff\xfe", b"\xc0\x80"])
def test_a_camera_whose_description_is_no_text_is_watched(
    camera: TestCamera, watch: Callable[..., ProcessCamera], until: Until, title: bytes
) -> None:
    camera.faults.title = title
    worker = watch(camera.url("yard"))
    take_next(worker, until)
    assert worker.health().error is None


def test_stopping_takes_less_than_a_second_while_frames_come(
    camera: TestCamera, watch: Callable[..., ProcessCamera], until: Until
) -> None:
    worker = watch(camera.url("yard"), timeout=5.0)
    take_next(worker, until)
    assert worker.stop(1.0)
    assert worker.health().state == "stopped"
    until("the camera is let go", lambda: camera.clients == 0)


def test_stopping_does_not_wait_for_the_next_attempt(
    camera: TestCamera, watch: Callable[..., ProcessCamera], until: Until
) -> None:
    worker = watch(camera.url("yard", password="wrong-pass"))
    until("the refusal", lambda: worker.health().state == "refused")
    assert worker.stop(1.0)


def test_a_silent_camera_that_does_not_end_is_ended(
    camera: TestCamera, watch: Callable[..., ProcessCamera], until: Until
) -> None:
    worker = watch(camera.url("yard"), timeout=20.0)  # a read lasts half of it
    take_next(worker, until)
    camera.faults.blackhole = True
    until("silence", lambda: time.time() - known(worker.health().last_arrival) > 0.3)
    began = time.monotonic()
    assert not worker.stop(0.1)
    assert time.monotonic() - began < 1.0
    assert worker.stop(5.0)
    assert worker.health().state == "stopped"


@pytest.mark.footage
def test_real_footage_is_sampled_without_loss(
    footage: Path, watch: Callable[..., ProcessCamera], until: Until
) -> None:
    with TestCamera({"street": footage / "bottle-detection.mp4"}) as camera:
        worker = watch(camera.url("street"), fps=5.0, timeout=2.0)
        until("two seconds of samples", lambda: worker.health().samples >= 10)
        health = worker.health()
    assert (health.corrupt, health.reconnects) == (0, 0)
