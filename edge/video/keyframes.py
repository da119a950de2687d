"""Looks at keyframes of a stream that nobody else decodes, where they may be the same picture.

Of a scene in which nothing moves, few samples are made. What the packets alone say costs nothing: a
picture that is the one before it takes a few bytes, and a keyframe that comes back has the size
that it had. Only such keyframes are decoded, with a decoder of their own.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final, cast

import av
import av.error
from av.video.codeccontext import VideoCodecContext

from edge.video.packet import MAX_PIXELS, Packet

# Bytes of a picture that is the one before it: x264 takes 8 to 16, x265 22 to 38, a camera about
# 12 for each slice. More pixels may be cut into more slices.
_FEW, _PIXELS_A_BYTE = 48, 40_000
# Such pictures take the same bytes again and again, but for the bits that count them. What few
# bytes say of noise differs. The last packets, among which B-frames are smaller than others.
_SAME, _PACKETS = 2, 4
# Two keyframes of the same picture differ by the bits of their header that count them.
_ALMOST: Final = 4
# Number of keyframes among which one may come back.
_KEPT: Final = 3
# Filler data, in which encoders of a constant rate wrap little. By FFmpeg's name of the codec.
_FILLER: Final = {"h264": b"\0\0\1\x0c\xff", "hevc": b"\0\0\1\x4c\x01\xff"}


@dataclass(frozen=True, slots=True)
class KeyframePicture:
    """A keyframe that was decoded by itself.

    Attributes:
        picture: Its picture, as the camera stored it.
        arrival: Arrival of its packet, monotonic seconds.
        number: Number of keyframes of the stream up to it.
    """

    picture: av.VideoFrame
    arrival: float
    number: int


@dataclass(slots=True)
class _Kept:
    """A keyframe that may come back."""

    packet: Packet
    number: int
    shown: bool = False


class Keyframes:
    """Tells what the packets of one stream say about its pictures.

    Attributes:
        number: Number of keyframes so far.
        alone: Whether the newest packet is a keyframe right after another one.
    """

    def __init__(self) -> None:
        self.number = 0
        self.alone = False
        self._after_keyframe = False
        self._kept: deque[_Kept] = deque(maxlen=_KEPT)
        self._others = self._small = 0  # packets since the last keyframe
        self._sizes: deque[int] = deque(maxlen=_PACKETS)
        self._size = 0  # of the last such packet, with its filler
        self._decoder: VideoCodecContext | None = None

    def repeats(self, packet: Packet) -> bool:
        """Take the next packet; return whether its picture is the one before it."""
        self.alone = packet.is_keyframe and self._after_keyframe
        self._after_keyframe = packet.is_keyframe
        self.number += packet.is_keyframe
        if packet.is_keyframe:
            return False
        small = self._is_small(packet)
        self._others += 1
        self._small += small
        return small

    def look(self, packet: Packet, *, samples: int, seen: bool) -> "list[KeyframePicture | None]":
        """Return what else a keyframe shows of the stream, oldest first.

        Args:
            packet: The packet that ``repeats`` took last.
            samples: Number of samples since the last keyframe. Where there are several, they show
                enough.
            seen: Whether this keyframe became a sample itself.

        Returns:
            Pictures of keyframes that may be the same; None for a picture that certainly is none of
            the last ones.
        """
        if not packet.is_keyframe:
            return []
        quiet = self._others <= 2 * self._small
        intra_only = not self._others
        self._others = self._small = 0
        like = [kept for kept in self._kept if abs(kept.packet.size - packet.size) <= _ALMOST]
        self._kept.append(_Kept(packet, self.number, shown=seen))
        if samples > 1 or intra_only:
            return []
        if not quiet or not (like or seen):
            return [None]
        if not like:
            return []
        pictures = [self._shown(kept) for kept in (*like, self._kept[-1]) if not kept.shown]
        return [picture for picture in pictures if picture is not None]

    def _is_small(self, packet: Packet) -> bool:
        context = packet.data.stream.codec_context
        few = _FEW + context.width * context.height // _PIXELS_A_BYTE
        before, self._size = self._size, packet.size
        size, filler = packet.size, _FILLER.get(context.name)
        if size > few and abs(size - before) <= _ALMOST and filler is not None:
            size = max(bytes(packet.data).find(filler), 0) or size
        known = any(abs(size - other) <= _SAME for other in self._sizes)
        self._sizes.append(size)
        return known and size <= few

    def _shown(self, kept: _Kept) -> KeyframePicture | None:
        """Decode a keyframe by itself; None where that gives no sound picture."""
        kept.shown = True
        decoder = self._decoder or _decoder_for(kept.packet)
        self._decoder = decoder
        try:
            pictures = decoder.decode(kept.packet.data) + decoder.decode(None)
            decoder.flush_buffers()
        except av.error.FFmpegError:
            self._decoder = None  # it may be at its end, where it takes no more packets
            return None
        sound = next((each for each in pictures if not each.is_corrupt), None)
        arrival = kept.packet.arrival.monotonic
        return None if sound is None else KeyframePicture(sound, arrival, kept.number)


def _decoder_for(packet: Packet) -> VideoCodecContext:
    context = packet.data.stream.codec_context
    decoder = cast("VideoCodecContext", VideoCodecContext.create(context.name, "r"))
    decoder.extradata = context.extradata
    decoder.thread_type, decoder.thread_count = "NONE", 1
    decoder.options = {"max_pixels": str(MAX_PIXELS)}
    return decoder
