"""Encodes small clips for tests: a moving square, or pictures that the caller draws."""

from collections.abc import Callable
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import Literal

import av
import numpy as np
from numpy.typing import NDArray

Pattern = Callable[[float], NDArray[np.uint8]]
"""Seconds since the start -> uint8 [H, W, 3], RGB."""

_ENCODERS: dict[str, Literal["libx264", "libx265"]] = {"h264": "libx264", "hevc": "libx265"}


def write_clip(  # noqa: PLR0913 (all by name)
    path: str | PathLike[str],
    *,
    codec: Literal["h264", "hevc"] = "h264",
    width: int = 320,
    height: int = 240,
    fps: int = 10,
    seconds: float = 2.0,
    gop: int = 10,
    bframes: int = 0,
    pixel_aspect: Fraction | None = None,
    turn: float | None = None,
    mirrored: bool = False,
    pattern: Pattern | None = None,
) -> Path:
    """Encode a clip of ``round(seconds * fps)`` frames and return its path.

    The same arguments give the same pictures. Keyframes come exactly every ``gop`` frames, none
    for scene cuts.

    Args:
        path: File to write; its ending chooses the container (``.mp4``, ``.mkv``, ``.ts``).
        codec: H.264 or H.265.
        width: Width in pixels, even.
        height: Height in pixels, even.
        fps: Frames per second.
        seconds: Length in seconds.
        gop: Frames from keyframe to keyframe.
        bframes: B-frames in a row; with them, picture order differs from sending order.
        pixel_aspect: Width of a pixel divided by its height, as codec and container state it;
            default they state nothing.
        turn: Degrees counter-clockwise of the container's display matrix; default none.
        mirrored: Whether that matrix exchanges left and right, after the turn.
        pattern: Function that draws the picture of a time; default a moving square.
    """
    draw = pattern or moving_square(width, height)
    with av.open(path, "w") as container:
        stream = container.add_stream(_ENCODERS[codec], rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        if pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        if turn is not None:
            stream.set_display_rotation(turn, hflip=mirrored)
        stream.options = _encoder_options(codec, gop, bframes)
        for index in range(round(seconds * fps)):
            frame = av.VideoFrame.from_ndarray(draw(index / fps), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return Path(path)


def moving_square(width: int, height: int) -> Pattern:
    """Bright square that circles once in four seconds in front of a still, grainy wall."""
    wall = np.random.default_rng(0).integers(60, 120, (height, width, 3), dtype=np.uint8)
    side = min(width, height) // 5

    def draw(time_s: float) -> NDArray[np.uint8]:
        angle = 2 * np.pi * time_s / 4
        left = round((width - side) * (1 + np.cos(angle)) / 2)
        top = round((height - side) * (1 + np.sin(angle)) / 2)
        picture = wall.copy()
        picture[top : top + side, left : left + side] = (255, 230, 40)
        return picture

    return draw


def _encoder_options(codec: Literal["h264", "hevc"], gop: int, bframes: int) -> dict[str, object]:
    parameters = f"keyint={gop}:min-keyint={gop}:scenecut=0:open-gop=0:bframes={bframes}"
    if codec == "hevc":
        return {"preset": "ultrafast", "x265-params": f"{parameters}:pools=1:log-level=none"}
    return {"preset": "ultrafast", "x264-params": parameters}
