"""Chooses one of several video streams: the one that FFmpeg calls best, unless it is a still."""

from typing import Final

import av
from av.container.streams import StreamContainer
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext

# What never moves, and what only adds to another stream.
_NO_VIDEO: Final = (
    Disposition.attached_pic
    | Disposition.still_image
    | Disposition.timed_thumbnails
    | Disposition.dependent
)
# Codecs of pictures. A camera may send MJPEG, but beside H.264 it is the still of a container.
_PICTURE_CODECS: Final = {"mjpeg", "png", "bmp", "webp", "gif", "tiff", "jpeg2000"}


def best_video(streams: StreamContainer) -> av.VideoStream | None:
    """Return the video stream to watch; None where there are only covers of something else."""
    candidates = [each for each in streams.video if not _is_cover(each)]
    if not candidates:
        return None
    best = streams.best("video")
    return max(candidates, key=lambda each: (*_merits(each), each is best, _size(each)))


def can_decode(stream: av.VideoStream) -> bool:
    """Whether FFmpeg has a decoder for a stream."""
    return _decoder(stream) is not None


def which(chosen: av.VideoStream, streams: StreamContainer) -> str | None:
    """Return in words which of several video streams was chosen; None where there is one."""
    if len(streams.video) == 1:
        return None
    others = ", ".join(_words(each) for each in streams.video if each is not chosen)
    return f"video stream {_words(chosen)}, not {others}"


def _is_cover(stream: av.VideoStream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def _merits(stream: av.VideoStream) -> tuple[bool, bool]:
    """Return whether the stream can be decoded, and whether it is a video by itself."""
    context = _decoder(stream)
    if context is None:
        return False, False
    few = stream.frames == 1 or (stream.frames == 0 and context.name in _PICTURE_CODECS)
    return True, not few and not stream.disposition & _NO_VIDEO


def _size(stream: av.VideoStream) -> int:
    return 0 if _decoder(stream) is None else stream.width * stream.height


def _words(stream: av.VideoStream) -> str:
    context = _decoder(stream)
    if context is None:
        return f"#{stream.index} (no decoder)"
    size = f" {stream.width}x{stream.height}" if _size(stream) else ""  # unknown before decoding
    return f"#{stream.index} ({context.name}{size})"


def _decoder(stream: av.VideoStream) -> VideoCodecContext | None:
    """Return the decoder; None where FFmpeg has none, of which PyAV's types know nothing."""
    return stream.codec_context
