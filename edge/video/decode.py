"""Decodes packets into frames with FFmpeg, and limits what hostile or damaged video can do.

A decoded frame is as the camera stored it; ``kept_frames`` gives frames as they are to be seen.

A packet that cannot be decoded and a frame that the decoder marks as damaged are counted and left
out. A picture larger than ``MAX_PIXELS`` is refused before its memory is allocated.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import cast

import av
import av.error
from av.video.codeccontext import VideoCodecContext

from edge.errors import SourceError
from edge.video.activity.gate import ActivityGate
from edge.video.geometry import (
    AS_STORED,
    Geometry,
    GeometrySettings,
    Orientation,
    is_plausible,
    stated_orientation,
    upright,
)
from edge.video.gop import Gop
from edge.video.packet import MAX_PIXELS, Packet
from edge.video.sample import Arrival
from edge.video.sampler import Sampler, Use


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture.

    Attributes:
        arrival: Arrival of the packet that contained the picture.
        picture: FFmpeg's frame, in the camera's own pixel format.
        geometry: How ``picture`` is to be seen.
        heartbeat: Whether it was kept though the gate was closed (``edge.video.activity``).
    """

    arrival: Arrival
    picture: av.VideoFrame
    geometry: Geometry = AS_STORED
    heartbeat: bool = False

    def upright(self) -> "Frame":
        """Return the frame as it is to be seen.

        Raises:
            SourceError: FFmpeg cannot turn or scale this picture.
        """
        return replace(self, picture=upright(self.picture, self.geometry), geometry=AS_STORED)


@dataclass(slots=True)
class _Sent:
    """What a picture takes along through the decoder, which may hold it back.

    Attributes:
        arrival: Arrival of the packet that contains the picture.
        pixel_aspect: Pixel aspect that the codec states for it; None where it states none.
    """

    arrival: Arrival
    pixel_aspect: Fraction | None = None


class Decoder:
    """Decodes one stream in the calling thread.

    Args:
        stream: FFmpeg's stream, of which nothing has been decoded yet.
        settings: How its pictures are to be seen, in place of what the stream says.
        context: Decoder in place of the stream's own (``edge.video.hardware``).

    Attributes:
        context: FFmpeg's decoder.
        frames: Number of undamaged frames so far.
        corrupt: Number of undecodable packets and damaged frames so far.
        fruitless: Number of packets since the last picture, sound or damaged.
        implausible: Pixel aspect that the stream states and that cannot be meant; None without one.

    Raises:
        SourceError: The stream announces pictures larger than ``MAX_PIXELS``.
    """

    def __init__(
        self,
        stream: av.VideoStream,
        settings: GeometrySettings | None = None,
        context: VideoCodecContext | None = None,
    ) -> None:
        if stream.width * stream.height > MAX_PIXELS:
            raise SourceError(
                f"pictures of {stream.width}x{stream.height} are too large, expected up to "
                f"{MAX_PIXELS} pixels: choose the camera's substream"
            )
        self.frames = 0
        self.corrupt = 0
        self.fruitless = 0
        self.implausible: Fraction | None = None
        self._last_error: str | None = None
        self._settings = settings or GeometrySettings()
        self.context = stream.codec_context if context is None else context
        # FFmpeg prefers what the container says. Only where it differs from the codec's can it be
        # told apart; otherwise the codec counts, which may say something else later.
        stated, coded = stream.sample_aspect_ratio, self.context.sample_aspect_ratio
        self._container_aspect = None if stated == coded else stated
        self._orientation: Orientation | None = None
        # Frame threads cost 5 to 18 % more CPU and delay every frame; each camera has its thread.
        self.context.thread_type = "NONE"
        self.context.thread_count = 1
        self.context.copy_opaque = True  # a frame keeps its packet's arrival through reordering
        self.context.options = {"max_pixels": str(MAX_PIXELS)}

    def decode(self, packet: Packet) -> list[Frame]:
        """Decode the next packet of the stream; frames may come later than their packets."""
        sent = _Sent(packet.arrival)
        packet.data.opaque = sent
        return self._decode(packet.data, sent)

    def decode_alone(self, packet: Packet) -> list[Frame]:
        """Decode a keyframe without its neighbours; its frame comes at once.

        The decoder is flushed: in a stream with reordered frames it would otherwise hold a keyframe
        back until two more have come.
        """
        frames = self.decode(packet) + self.flush()
        self.restart()
        return frames

    def restart(self) -> None:
        """Forget the pictures so far: the next packet is a keyframe, and others were left out."""
        self.context.flush_buffers()

    def flush(self) -> list[Frame]:
        """Return the frames still held back for reordering, at the end of a stream."""
        return self._decode(None)

    def why_no_frames(self) -> str:
        """Return the likely reason why packets came but no frame."""
        if self._last_error is not None:
            return f"the decoder says: {self._last_error}"
        return "all were damaged" if self.corrupt else "no keyframe came"

    def _decode(
        self, data: "av.Packet[av.VideoStream] | None", sent: _Sent | None = None
    ) -> list[Frame]:
        self.fruitless += data is not None
        try:
            pictures = self.context.decode(data)
        except av.error.FFmpegError as exc:
            self.corrupt += 1
            self._last_error = exc.strerror
            return []
        if sent is not None:
            sent.pixel_aspect = self.context.sample_aspect_ratio
        self.fruitless = 0 if pictures else self.fruitless
        sound = [picture for picture in pictures if not picture.is_corrupt]
        self.frames += len(sound)
        self.corrupt += len(pictures) - len(sound)
        return [self._frame(picture, cast("_Sent", picture.opaque)) for picture in sound]

    def _frame(self, picture: av.VideoFrame, sent: _Sent) -> Frame:
        orientation = stated_orientation(picture, self.context.name)
        # A codec states it with a keyframe, for all pictures up to the next one.
        if orientation is not None or picture.key_frame:
            self._orientation = orientation
        geometry = self._settings.geometry(
            picture, self._pixel_aspect(sent), self._orientation or Orientation()
        )
        return Frame(sent.arrival, picture, geometry)

    def _pixel_aspect(self, sent: _Sent) -> Fraction:
        """Return the first plausible pixel aspect that anybody states; 1 where nobody does."""
        for stated in (self._container_aspect, sent.pixel_aspect):
            if stated is not None and is_plausible(stated):
                return stated
            self.implausible = stated or self.implausible
        return Fraction(1)


def kept_frames(
    packets: Iterable[Packet],
    decoder: Decoder,
    sampler: Sampler,
    gate: ActivityGate | None = None,
    decoding: Callable[[], object] = lambda: None,
) -> Iterator[Frame]:
    """Yield the frames that ``sampler`` keeps, upright; decode only the packets needed for them.

    The sampler sees a frame at the arrival of the packet after which the decoder returned it: these
    arrivals are in order, while the arrivals of reordered frames are not. Of frames that the
    decoder returns together only the newest is seen.

    Args:
        packets: All packets of the stream.
        decoder: Decoder of the stream.
        sampler: What chooses packets and frames.
        gate: What tells whether anything moves; None where all frames are of use.
        decoding: Called before each packet that is decoded, of which there may be many at once.

    Raises:
        SourceError: The packets ended without a frame, or ``packets`` raised it.
    """
    now, gop = 0.0, Gop()
    before: int | None = None  # frames when the decoder last began at a keyframe
    for packet in packets:
        now = packet.arrival.monotonic
        gop.add(packet)
        if packet.is_keyframe and decoder.frames == before:
            sampler.keyframe_failed()
            before = None
        match _use(packet, sampler, gate):
            case Use.HOLD:
                if gop.is_full:
                    _decode_all(gop, decoder, decoding)
                continue
            case Use.ALONE:
                frames = decoder.decode_alone(packet)
                if not frames:
                    sampler.keyframe_failed()
            case Use.CHAIN:
                before = decoder.frames if gop.gap else before
                frames = _decode_all(gop, decoder, decoding)
        yield from _kept(frames, now, sampler, gate)
    yield from (frame.upright() for frame in decoder.flush() if sampler.keep(now))
    if not decoder.frames:
        raise SourceError(f"no decodable frame ({decoder.why_no_frames()})")


def _use(packet: Packet, sampler: Sampler, gate: ActivityGate | None) -> Use:
    now, is_keyframe = packet.arrival.monotonic, packet.is_keyframe
    if gate is None:
        return sampler.use(now, is_keyframe=is_keyframe)
    gate.arrived(packet)
    looks = gate.sees_little
    return sampler.use(now, is_keyframe=is_keyframe, is_open=gate.is_open, looks=looks)


def _decode_all(gop: Gop, decoder: Decoder, decoding: Callable[[], object]) -> list[Frame]:
    if gop.gap:
        decoder.restart()
    frames: list[Frame] = []
    for packet in gop.take():
        decoding()
        frames += decoder.decode(packet)
    return frames


def _kept(
    frames: list[Frame], now: float, sampler: Sampler, gate: ActivityGate | None
) -> Iterator[Frame]:
    """Yield the newest frame if it is to be kept."""
    if not frames:
        return
    frame, is_open = frames[-1], True
    if gate is not None:
        gate.saw(frame.picture)
        is_open = gate.is_open
    if sampler.keep(now, is_open=is_open):
        yield replace(frame, heartbeat=not is_open).upright()
