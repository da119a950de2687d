"""A first look at a camera: does it answer, what does it send, and what would serve better."""

import time
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final

from edge.config.models import CameraConfig
from edge.errors import SourceError
from edge.system.redact import redact
from edge.video.decode import Decoder, Frame
from edge.video.sources import Packet, SourceSettings, is_live, open_source

# Seconds of video that are looked at when no second keyframe comes sooner.
LONGEST_LOOK_S: Final = 10.0
# Enough packets to tell the frame rate.
_ENOUGH_PACKETS: Final = 10
# Wider pictures are scaled down anyway: the models look at 224 to 512 pixels.
_WIDE: Final = 1280
# After a loss nothing is seen until the next keyframe.
_RARE_KEYFRAMES_S: Final = 4.0
# A camera's clock and ours differ.
_TOLERANCE: Final = 0.98


@dataclass(frozen=True, slots=True)
class Look:
    """What a camera sends.

    Attributes:
        codec: FFmpeg's name, such as ``h264``.
        width: Of its pictures, pixels.
        height: Of its pictures, pixels.
        fps: Pictures a second; None for a single picture.
        keyframe_s: From keyframe to keyframe; None where no second one came.
        looked_s: Seconds of video looked at.
        first_frame_s: From opening to the first decoded frame.
    """

    codec: str
    width: int
    height: int
    fps: float | None
    keyframe_s: float | None
    looked_s: float
    first_frame_s: float

    def __str__(self) -> str:
        if self.fps is None:
            return f"{self.codec}, {self.width}x{self.height}, one picture"
        if self.keyframe_s is None:
            keyframes = f"no second keyframe within {self.looked_s:.1f} s"
        else:
            keyframes = f"a keyframe every {self.keyframe_s:.1f} s"
        return (
            f"{self.codec}, {self.width}x{self.height}, {self.fps:.3g} fps, {keyframes}, first "
            f"frame after {self.first_frame_s:.2f} s"
        )


def look_at(camera: CameraConfig) -> Look:
    """Open a camera and watch it up to its second keyframe, or for ``LONGEST_LOOK_S``.

    Takes at most twice the camera's timeout for opening, and ``LONGEST_LOOK_S`` and one timeout
    more.

    Raises:
        SourceError: Unreachable, refused, silent, or no decodable frame.
    """
    url = camera.url.get_secret_value()
    settings = SourceSettings(transport=camera.transport, timeout_s=camera.timeout)
    began = time.monotonic()
    first_frame: tuple[float, Frame] | None = None
    packets: list[Packet] = []
    with open_source(url, settings) as source:
        decoder = Decoder(source.stream)
        for packet in source.packets():
            packets.append(packet)
            if first_frame is None and (frames := decoder.decode(packet)):
                first_frame = time.monotonic() - began, frames[0]
            if _seen_enough(packets, decoded=first_frame is not None):
                break
        if first_frame is None and (frames := decoder.flush()):  # a single picture, a short clip
            first_frame = time.monotonic() - began, frames[0]
        if first_frame is None:
            raise SourceError(
                f"{redact(url)} sent {len(packets)} packets in {_looked_s(packets):.1f} s but no "
                f"decodable frame ({decoder.why_no_frames()}): ask the camera for H.264 with a "
                "keyframe every 2 s (its I-frame interval)"
            )
        codec = source.stream.codec_context.name
    first_frame_s, frame = first_frame
    fps = _fps(packets)
    return Look(
        codec=codec,
        width=frame.picture.width,
        height=frame.picture.height,
        fps=fps,
        keyframe_s=_keyframe_s(packets, fps),
        looked_s=_looked_s(packets),
        first_frame_s=first_frame_s,
    )


def advice(look: Look, camera: CameraConfig) -> tuple[str, ...]:
    """What would serve better, a sentence each; a recording is as it is."""
    if not is_live(camera.url.get_secret_value()):
        return ()
    remarks = []
    if look.width > _WIDE:
        remarks.append(
            f"give its substream: {look.width}x{look.height} costs about ten times the decoding of"
            " 640x360 and shows the model nothing more"
        )
    spacing_s = look.looked_s if look.keyframe_s is None else look.keyframe_s
    if spacing_s > _RARE_KEYFRAMES_S:
        remarks.append(
            "set its I-frame interval to 2 s: after a loss nothing is seen until the next keyframe"
        )
    if look.fps is not None and look.fps < _TOLERANCE * camera.sample.fps:
        remarks.append(
            f"it sends fewer frames than sample.fps {camera.sample.fps:g}: raise its frame rate"
        )
    if look.codec == "hevc" and camera.transport == "udp":
        remarks.append(
            "use transport: tcp, or H.264: damage that UDP leaves in H.265 goes unnoticed"
        )
    return tuple(remarks)


def _seen_enough(packets: list[Packet], *, decoded: bool) -> bool:
    keyframes = sum(packet.is_keyframe for packet in packets)
    told = decoded and keyframes > 1 and len(packets) >= _ENOUGH_PACKETS
    return told or _looked_s(packets) >= LONGEST_LOOK_S


def _looked_s(packets: list[Packet]) -> float:
    if not packets:
        return 0.0
    return packets[-1].arrival.monotonic - packets[0].arrival.monotonic


def _fps(packets: list[Packet]) -> float | None:
    """By the stream's own times, sorted, where it has them: arrivals come in bursts."""
    times = sorted(p.arrival.pts_s for p in packets if p.arrival.pts_s is not None)
    if len(times) < len(packets) / 2:
        times = [packet.arrival.monotonic for packet in packets]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    return 1 / median(gaps) if gaps and median(gaps) > 0 else None


def _keyframe_s(packets: list[Packet], fps: float | None) -> float | None:
    """By counting: a keyframe's own time may be missing (the first one's is)."""
    places = [index for index, packet in enumerate(packets) if packet.is_keyframe]
    if fps is None or len(places) < 2:
        return None
    return median(later - earlier for earlier, later in pairwise(places)) / fps
