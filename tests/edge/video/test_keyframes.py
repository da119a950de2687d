"""What packets and decoded keyframes together say of a still stream, with real encoders."""

import io
from fractions import Fraction
from typing import cast

import av
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

from edge.video.keyframes import Keyframes, _Kept
from edge.video.packet import Packet
from edge.video.sample import Arrival
from edge.video.spans import SPANS
from edge.video.verdict import StreamVerdict

FPS, WIDTH, HEIGHT = 10, 192, 112
FROZE_S = 3.3

ENCODERS = {
    "quality": ("libx264", {"crf": "23", "bf": "0"}),
    "coarse": ("libx264", {"crf": "38", "bf": "2"}),
    "rate": (
        "libx264",
        {"b": "200k", "maxrate": "200k", "bufsize": "400k", "qmin": "22", "bf": "0"},
    ),
    "filler": (
        "libx264",
        {"b": "400k", "maxrate": "400k", "bufsize": "400k", "qmin": "18", "nal-hrd": "cbr"},
    ),
    "h265": ("libx265", {"crf": "28"}),
    "h265 rate": (
        "libx265",
        {"b": "200k", "x265-params": "vbv-maxrate=200:vbv-bufsize=400:qpmin=24"},
    ),
}


def scene(seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    blocks = np.kron(rng.integers(40, 200, (HEIGHT // 16, WIDTH // 16)), np.ones((16, 16)))
    return blocks + rng.normal(0, 2, blocks.shape)


def encoded(
    encoder: str, gop_s: int, seconds: float, seed: int, noise: float | None, repeat_s: float = 1e9
) -> io.BytesIO:
    """A stream whose picture freezes after a while, or with ``noise`` lives on in peace."""
    codec, options = ENCODERS[encoder]
    rng, wall = np.random.default_rng(seed), scene(seed)
    pictures: list[NDArray[np.float64]] = []
    gop = gop_s * FPS
    extra = f"keyint={gop}:min-keyint={gop}:scenecut=0"
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts") as container:
        stream = container.add_stream(codec, rate=FPS)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1
        if codec == "libx265":
            more = f"{options.get('x265-params', 'bframes=0')}:{extra}:pools=1:log-level=none"
            stream.options = {"preset": "ultrafast", **options, "x265-params": more}
        else:
            stream.options = {"preset": "veryfast", **options, "x264-params": extra}
        for number in range(round(seconds * FPS)):
            now = number / FPS
            moving = noise is None and now < FROZE_S
            if now >= repeat_s:
                picture = pictures[number % round(repeat_s * FPS)]
            elif moving or noise is not None or not pictures:
                picture = wall + rng.normal(0, 1.0 if noise is None else noise, wall.shape)
                if moving:
                    picture[40:70, 5 * number : 5 * number + 20] = 230
            else:
                picture = pictures[-1]
            pictures.append(picture)
            planes = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
            planes[:HEIGHT] = np.clip(picture, 0, 255).round()
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    file.seek(0)
    return file


def frozen_after(file: io.BytesIO, heartbeat_s: float) -> float | None:
    """Seconds from the freeze to the verdict; one sample of ``heartbeat_s``, at a keyframe."""
    verdict, due = None, 0.0
    with av.open(file, "r") as container:
        stream = container.streams.video[0]
        alone = cast("VideoCodecContext", VideoCodecContext.create(stream.codec_context.name, "r"))
        alone.extradata = stream.codec_context.extradata
        packets = (packet for packet in container.demux(stream) if packet.size)
        for number, data in enumerate(packets):
            now = number / FPS
            sparse = heartbeat_s > 1
            pictures: list[av.VideoFrame] = []
            if not sparse:
                pictures = data.decode()
            elif data.is_keyframe and now >= due:
                pictures = alone.decode(data) + alone.decode(None)
                alone.flush_buffers()
            verdict = verdict or StreamVerdict(2.0, now, SPANS)
            if pictures and now >= due:
                verdict.sampled(pictures[-1], now)
                due = now + heartbeat_s
            verdict.arrived(Packet(Arrival(now, now, now), data.is_keyframe, data.size, data), 0)
            if verdict.frozen:
                return now - FROZE_S
    return None


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize(("gop_s", "heartbeat_s"), [(2, 0.5), (10, 0.5), (4, 10.0), (10, 10.0)])
def test_a_frozen_picture_is_noticed_within_30_s_however_few_samples_are_made(
    encoder: str, gop_s: int, heartbeat_s: float
) -> None:
    seed = sum(encoder.encode()) + gop_s
    after = frozen_after(encoded(encoder, gop_s, FROZE_S + 30, seed, None), heartbeat_s)
    assert after is not None
    assert 15 <= after <= 30


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize(("noise", "heartbeat_s"), [(0.2, 10.0), (1.0, 0.5)])
def test_a_scene_in_which_nothing_moves_lives_by_its_noise(
    encoder: str, noise: float, heartbeat_s: float
) -> None:
    seed = sum(encoder.encode())
    assert frozen_after(encoded(encoder, 2, 30, seed, noise), heartbeat_s) is None


@pytest.mark.parametrize("heartbeat_s", [0.5, 2.0, 10.0])
def test_a_recording_that_is_played_over_and_over_is_not_frozen(heartbeat_s: float) -> None:
    file = encoded("quality", 2, 40, 7, 1.5, repeat_s=2.0)  # with the same keyframe each time
    assert frozen_after(file, heartbeat_s) is None


def test_a_decoder_at_its_end_is_replaced() -> None:
    with av.open(encoded("quality", 2, 3, 1, 1.0), "r") as container:
        data = next(packet for packet in container.demux(container.streams.video[0]) if packet.size)
        kept = _Kept(Packet(Arrival(0.0, 0.0, 0.0), True, data.size, data), 1)
        keyframes = Keyframes()
        assert keyframes._shown(kept) is not None
        assert keyframes._decoder is not None
        keyframes._decoder.decode(None)  # as an error on the way leaves it
        assert keyframes._shown(kept) is None
        assert keyframes._shown(kept) is not None
