"""Video as few cameras send it: real, encoded here, and small."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np

from edge.testing import Clip

# Encoder, pixel format, width, height.
FORMS: Final[dict[str, tuple[str, str, int, int]]] = {
    "10-bit H.264": ("libx264", "yuv420p10le", 96, 64),
    "10-bit H.265": ("libx265", "yuv420p10le", 96, 64),
    "4:2:2": ("libx264", "yuv422p", 96, 64),
    "10-bit 4:2:2": ("libx264", "yuv422p10le", 96, 64),
    "yuvj": ("libx264", "yuvj420p", 96, 64),
    "odd size": ("libx264", "yuv444p", 97, 63),
    "two pixels wide": ("libx264", "yuv420p", 2, 64),
    "MJPEG": ("mjpeg", "yuvj420p", 97, 63),
    "MJPEG 4:2:2": ("mjpeg", "yuvj422p", 96, 64),
}
_OPTIONS: Final[dict[str, dict[str, str]]] = {
    "libx264": {"preset": "ultrafast", "x264-params": "keyint=10:min-keyint=10:scenecut=0"},
    "libx265": {
        "preset": "ultrafast",
        "x265-params": "keyint=10:min-keyint=10:bframes=0:pools=1:log-level=none",
    },
    "mjpeg": {},
}


def encode(
    path: Path,
    encoder: str,
    pixels: str,
    width: int,
    height: int,
    *,
    frames: int = 20,
    fps: int = 10,
) -> Path:
    """Encode restless noise."""
    noise = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(encoder, rate=fps, options=_OPTIONS[encoder])
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        stream.codec_context.thread_count = 1
        for index in range(frames):
            drawn = noise.integers(0, 255, (height, width, 3)).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(drawn, format="rgb24").reformat(format=pixels)
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def bomb(path: Path, side: int = 8192) -> Path:
    """Encode one black picture of ``side`` x ``side`` pixels: some kilobytes."""
    with av.open(str(path), "w") as container:
        options = {"preset": "ultrafast", "x264-params": "keyint=1:sliced-threads=0"}
        stream: Any = container.add_stream("libx264", rate=1, options=options)
        stream.width, stream.height, stream.pix_fmt = side, side, "yuv420p"
        frame = av.VideoFrame(side, side, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.pts, frame.time_base = 0, Fraction(1)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def at_times(clip: Clip, gaps_s: list[float]) -> Clip:
    """The same pictures, each ``gaps_s`` after the one before; the gaps are used in turn."""
    now, units = 0.0, []
    for index, unit in enumerate(clip.units):
        units.append(replace(unit, dts_s=now, pts_s=now))
        now += gaps_s[index % len(gaps_s)]
    return replace(clip, units=tuple(units), duration_s=now)
