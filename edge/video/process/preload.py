"""Loads what every camera's process needs, before they are forked: what is there then is shared."""

from importlib import import_module  # noqa: TID251  modules that are otherwise loaded when needed
from typing import Final

import av
from av.video.codeccontext import VideoCodecContext

from edge.model.bundle.manifest import ImageSpec
from edge.video.jpeg import jpeg
from edge.video.preprocess import Preprocessor

_MODULES: Final = ("edge.video.sources.file", "edge.video.sources.rtsp", "encodings.idna")
_CODECS: Final = ("h264", "hevc", "mjpeg")


def preload() -> None:
    """Load modules, and let FFmpeg make its tables, by a picture of our own."""
    for name in _MODULES:
        import_module(name)
    for name in _CODECS:
        VideoCodecContext.create(name, "r").open()
    picture = av.VideoFrame(64, 64, "yuv420p")
    jpeg(picture, 32)
    spec = ImageSpec(
        height=32, width=32, resize="shortest_edge", interpolation="bicubic",
        mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0),
    )  # fmt: skip
    Preprocessor(spec)(picture)
