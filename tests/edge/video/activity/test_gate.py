import io
from collections.abc import Iterator
from fractions import Fraction
from functools import cache

import av
import numpy as np
import pytest

from edge.video.activity.gate import HOLD_S, ActivityGate
from edge.video.decode import Decoder, Frame, kept_frames
from edge.video.packet import Packet
from edge.video.sample import Arrival
from edge.video.sampler import Sampler

FPS, WIDTH, HEIGHT = 10, 320, 176


@cache
def pictures() -> tuple[av.VideoFrame, ...]:
    """Pictures of 50 s with sensor noise: still, but for a person from 35 s to 40 s."""
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    still = (110 + 40 * np.sin(rows / 7) * np.cos(columns / 9)).astype(np.int16)
    noise = rng.standard_normal((HEIGHT + 32, WIDTH + 32)).round().astype(np.int16)
    found = []
    for number in range(50 * FPS):
        now = number / FPS
        y, x = rng.integers(32, size=2)
        grey = still + noise[y : y + HEIGHT, x : x + WIDTH]
        if 35 <= now < 40:
            at = int(30 + 12 * now) % (WIDTH - 20)
            grey[90:114, at : at + 9] = 215
        found.append(av.VideoFrame.from_ndarray(grey.astype(np.uint8), format="gray"))
    return tuple(found)


class Watched:
    """A stream of 50 s through the gate: still, but for 5 s from 35 s on."""

    def __init__(self, encoder: str, options: dict[str, str], *, gop: int = 20) -> None:
        file = io.BytesIO()
        with av.open(file, "w", format="matroska") as output:
            made = output.add_stream(encoder, rate=FPS)
            assert isinstance(made, av.VideoStream)
            made.width, made.height = WIDTH, HEIGHT
            made.pix_fmt = "yuvj420p" if encoder == "mjpeg" else "yuv420p"
            made.options, made.gop_size, made.thread_count = dict(options), gop, 1
            for number, shown in enumerate(pictures()):
                shown.pts, shown.time_base = number, Fraction(1, FPS)
                output.mux(made.encode(shown.reformat(format=made.pix_fmt)))
            output.mux(made.encode())
        file.seek(0)
        self.states: list[tuple[float, str]] = []
        with av.open(file, "r") as source:
            video = source.streams.video[0]
            context = video.codec_context
            self.gate = ActivityGate(context.name, bytes(context.extradata or b""))
            self.decoder = Decoder(video)
            sampler = Sampler(2, idle=0.1, aligned=True)
            packets = self._packets(source, video)
            self.frames: list[Frame] = list(kept_frames(packets, self.decoder, sampler, self.gate))

    def _packets(
        self, source: av.container.InputContainer, video: av.VideoStream
    ) -> Iterator[Packet]:
        number = 0
        for data in source.demux(video):
            if data.size:
                now = number / FPS
                yield Packet(Arrival(now, now, None), data.is_keyframe, data.size, data)
                self.states.append((now, self.gate.state))
                number += 1

    def during(self, begin: float, end: float) -> list[Frame]:
        return [frame for frame in self.frames if begin <= frame.arrival.monotonic < end]


X264 = {"preset": "veryfast", "tune": "zerolatency", "crf": "24"}
RATE = {"x264-params": "bitrate=150:vbv-maxrate=150:vbv-bufsize=150"}
X265 = {"preset": "ultrafast", "x265-params": "log-level=none:pools=1:bframes=0"}


@pytest.mark.parametrize(
    ("encoder", "options"), [("libx264", X264), ("libx264", X264 | RATE), ("libx265", X265)]
)
def test_a_person_opens_the_gate_and_a_still_scene_costs_heartbeats(
    encoder: str, options: dict[str, str]
) -> None:
    watched = Watched(encoder, options)
    assert {state for now, state in watched.states if now < 5} == {"learning"}
    quiet, event = watched.during(20, 35), watched.during(35, 41)
    assert 1 <= len(quiet) < 15  # of 30
    assert any(frame.heartbeat for frame in watched.frames)
    samples = [frame for frame in event if not frame.heartbeat]
    assert len(samples) >= 6
    assert samples[0].arrival.monotonic < 37.1
    assert watched.states[-1][1] == "still"
    assert {state for now, state in watched.states if 40 <= now < 39.9 + HOLD_S} == {"moving"}
    assert watched.decoder.frames < 0.6 * 50 * FPS
    assert 0.3 < watched.gate.share < 1


def test_a_stream_of_keyframes_alone_keeps_the_gate_open_and_says_why() -> None:
    watched = Watched("mjpeg", {})
    assert {state for _, state in watched.states} == {"unreadable"}
    assert not any(frame.heartbeat for frame in watched.frames)
    assert len(watched.frames) == pytest.approx(100, abs=2)


def test_noise_without_keyframes_to_look_at_keeps_the_gate_open() -> None:
    watched = Watched("libx264", X264 | {"crf": "16"}, gop=500)
    assert {state for now, state in watched.states if now > 12} <= {"noisy", "moving"}
    assert len(watched.frames) == pytest.approx(100, abs=2)
