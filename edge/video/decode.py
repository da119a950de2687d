"""Decodes packets into frames with FFmpeg, and limits what hostile or damaged video can do.

A packet that cannot be decoded and a frame that the decoder marks as damaged are counted and left
out. A picture larger than ``MAX_PIXELS`` is refused before its memory is allocated.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import cast

import av
import av.error

from edge.errors import SourceError
from edge.video.packet import MAX_PIXELS, Packet
from edge.video.sample import Arrival
from edge.video.sampler import Sampler, Use


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture.

    Attributes:
        arrival: Arrival of the packet that contained the picture.
        picture: FFmpeg's frame, in the camera's own pixel format.
    """

    arrival: Arrival
    picture: av.VideoFrame


class Decoder:
    """Decodes one stream in the calling thread.

    Attributes:
        frames: Number of undamaged frames so far.
        corrupt: Number of undecodable packets and damaged frames so far.

    Raises:
        SourceError: The stream announces pictures larger than ``MAX_PIXELS``.
    """

    def __init__(self, stream: av.VideoStream) -> None:
        if stream.width * stream.height > MAX_PIXELS:
            raise SourceError(
                f"pictures of {stream.width}x{stream.height} are too large, expected up to "
                f"{MAX_PIXELS} pixels: choose the camera's substream"
            )
        self.frames = 0
        self.corrupt = 0
        self._last_error: str | None = None
        self._context = stream.codec_context
        # Frame threads cost 5 to 18 % more CPU and delay every frame; each camera has its thread.
        self._context.thread_type = "NONE"
        self._context.thread_count = 1
        self._context.copy_opaque = True  # a frame keeps its packet's arrival through reordering
        self._context.options = {"max_pixels": str(MAX_PIXELS)}

    def decode(self, packet: Packet) -> list[Frame]:
        """Decode the next packet of the stream; frames may come later than their packets."""
        packet.data.opaque = packet.arrival
        return self._decode(packet.data)

    def decode_alone(self, packet: Packet) -> list[Frame]:
        """Decode a keyframe without its neighbours; its frame comes at once.

        The decoder is flushed: in a stream with reordered frames it would otherwise hold a keyframe
        back until two more have come.
        """
        frames = self.decode(packet) + self.flush()
        self._context.flush_buffers()
        return frames

    def flush(self) -> list[Frame]:
        """Return the frames still held back for reordering, at the end of a stream."""
        return self._decode(None)

    def why_no_frames(self) -> str:
        """Return the likely reason why packets came but no frame."""
        if self._last_error is not None:
            return f"the decoder says: {self._last_error}"
        return "all were damaged" if self.corrupt else "no keyframe came"

    def _decode(self, data: "av.Packet[av.VideoStream] | None") -> list[Frame]:
        try:
            pictures = self._context.decode(data)
        except av.error.FFmpegError as exc:
            self.corrupt += 1
            self._last_error = exc.strerror
            return []
        sound = [picture for picture in pictures if not picture.is_corrupt]
        self.frames += len(sound)
        self.corrupt += len(pictures) - len(sound)
        return [Frame(cast("Arrival", picture.opaque), picture) for picture in sound]


def kept_frames(packets: Iterable[Packet], decoder: Decoder, sampler: Sampler) -> Iterator[Frame]:
    """Yield the frames that ``sampler`` keeps; decode only the packets needed for them.

    The sampler sees a frame at the arrival of the packet after which the decoder returned it: these
    arrivals are in order, while the arrivals of reordered frames are not.

    Raises:
        SourceError: The packets ended without a frame, or ``packets`` raised it.
    """
    now = 0.0
    for packet in packets:
        now = packet.arrival.monotonic
        match sampler.use(now, is_keyframe=packet.is_keyframe):
            case Use.SKIP:
                continue
            case Use.ALONE:
                frames = decoder.decode_alone(packet)
                if not frames:
                    sampler.keyframe_failed()
            case Use.CHAIN:
                frames = decoder.decode(packet)
        yield from (frame for frame in frames if sampler.keep(now))
    yield from (frame for frame in decoder.flush() if sampler.keep(now))
    if not decoder.frames:
        raise SourceError(f"no decodable frame ({decoder.why_no_frames()})")
