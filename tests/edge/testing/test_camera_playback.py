"""The camera seen by a real client: PyAV, that is FFmpeg, as the runtime uses it."""

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import pytest
from av.error import HTTPNotFoundError, HTTPUnauthorizedError
from known import all_known
from numpy.typing import NDArray

from edge.testing import Clip, TestCamera
from edge.testing.synthetic import write_clip

FAST = {"rtsp_transport": "tcp", "analyzeduration": "0", "probesize": "32"}


def frames(url: str, count: int, **options: str) -> list[tuple[float, av.VideoFrame]]:
    """The first frames that a client shows, as (monotonic arrival, frame)."""
    with av.open(url, options=FAST | options, timeout=10) as container:
        shown: list[tuple[float, av.VideoFrame]] = []
        for frame in container.decode(video=0):
            shown.append((time.monotonic(), frame))
            if len(shown) == count:
                break
        return shown


@pytest.mark.parametrize("name", ["h264", "h264-bframes", "hevc", "hevc-bframes"])
def test_every_frame_of_every_pass_is_shown_in_order(clips: dict[str, Clip], name: str) -> None:
    clip = clips[name]
    with TestCamera({"street": clip}) as camera:
        shown = frames(camera.url("street"), 2 * len(clip.units) + 3)
    assert (shown[0][1].width, shown[0][1].height) == (160, 120)
    assert not any(frame.is_corrupt for _, frame in shown)
    # The first pts over RTSP is None; from there on every step is one frame, over the wrap too.
    times = all_known(frame.pts for _, frame in shown[1:])
    assert [later - earlier for earlier, later in pairwise(times)] == [2250] * (len(times) - 1)


def test_packets_stay_in_decoding_order_over_the_wrap(clips: dict[str, Clip]) -> None:
    clip = clips["h264-bframes"]
    with (
        TestCamera({"street": clip}) as camera,
        av.open(camera.url("street"), options=FAST, timeout=10) as container,
    ):
        packets = (packet.dts for packet in container.demux(video=0) if packet.dts is not None)
        times = [next(packets) for _ in range(2 * len(clip.units) + 3)]
    assert all(earlier < later for earlier, later in pairwise(times))


@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_the_password_opens_and_a_wrong_one_does_not(
    clips: dict[str, Clip], auth: Literal["basic", "digest"]
) -> None:
    secrets: dict[str, Any] = {"user": "vi@wer", "password": "p:ä s/s"}
    with TestCamera({"street": clips["h264"]}, auth=auth, **secrets) as camera:
        assert len(frames(camera.url("street"), 2)) == 2
        with pytest.raises(HTTPUnauthorizedError):
            frames(camera.url("street", password="wrong"), 1)
        with pytest.raises(HTTPUnauthorizedError):
            frames(camera.url("street", user="nobody"), 1)
        with pytest.raises(HTTPNotFoundError):
            frames(camera.url("street") + "s", 1)


def test_clients_and_clips_are_served_at_once(clips: dict[str, Clip]) -> None:
    names = ("street", "Hof/süd 1", "street")
    with TestCamera({"street": clips["h264"], "Hof/süd 1": clips["hevc"]}) as camera:
        opened = [av.open(camera.url(name), options=FAST, timeout=10) for name in names]
        assert camera.clients == 3
        shown = [next(container.decode(video=0)) for container in opened]
        codecs = [container.streams.video[0].codec_context.name for container in opened]
        for container in opened:
            container.close()
    assert codecs == ["h264", "hevc", "h264"]
    assert {(frame.width, frame.height) for frame in shown} == {(160, 120)}


def test_the_end_of_a_clip_that_is_not_looped_is_the_end_of_the_stream(
    clips: dict[str, Clip],
) -> None:
    clip = clips["hevc"]
    with (
        TestCamera({"street": clip}, loop=False) as camera,
        av.open(camera.url("street"), options=FAST, timeout=10) as container,
    ):
        assert len(list(container.decode(video=0))) == len(clip.units)


def test_loops_map_an_arrival_to_the_time_in_the_clip(tmp_path: Path) -> None:
    def brightness_is_time(time_s: float) -> NDArray[np.uint8]:
        return np.full((64, 64, 3), 40 + round(160 * time_s), dtype=np.uint8)

    path = write_clip(
        tmp_path / "clock.mp4", width=64, height=64, fps=10, seconds=1, pattern=brightness_is_time
    )
    with TestCamera({"clock": path}) as camera:
        assert camera.loops("clock") == []
        shown = frames(camera.url("clock"), 25)
        passes = camera.loops("clock")
    begins = [monotonic for _, monotonic in passes]
    assert np.diff(begins) == pytest.approx([1.0] * (len(passes) - 1))
    assert np.diff([wall for wall, _ in passes]) == pytest.approx([1.0] * (len(passes) - 1))
    assert len(passes) == 3
    assert begins[0] < shown[0][0]
    for index, (arrival, frame) in enumerate(shown):
        number, in_pass = divmod(index, 10)
        drawn_s = (frame.to_ndarray(format="gray").mean() - 40) / 160
        assert drawn_s == pytest.approx(in_pass / 10, abs=0.05)
        assert arrival >= begins[number] + in_pass / 10


def test_loops_belong_to_the_newest_client(
    clips: dict[str, Clip], until: Callable[[Callable[[], object]], None]
) -> None:
    with TestCamera({"street": clips["h264"]}) as camera:
        frames(camera.url("street"), 12)
        first = camera.loops("street")
        frames(camera.url("street"), 2)
        assert len(first) >= 2
        assert camera.loops("street")[0][1] > first[-1][1]


def test_real_footage_plays(footage: Path) -> None:
    clip = Clip.read(footage / "person-bicycle-car.mp4")
    assert clip.duration_s == pytest.approx(len(clip.units) / 12)
    with TestCamera({"street": clip}) as camera:
        assert len(frames(camera.url("street"), 5)) == 5
