"""Probes a camera: whether it answers, what it sends, and which settings would be better."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from statistics import median
from typing import Final

from edge.config.models import CameraConfig
from edge.errors import SourceError
from edge.system.redact import redact
from edge.video.decode import Decoder, Frame
from edge.video.geometry import geometry_settings, whole_shape
from edge.video.sources import Packet, SourceSettings, is_live, open_source

# Longest part of the video that is examined while no second keyframe comes.
LONGEST_LOOK_S: Final = 10.0
# Number of packets that is enough to determine the frame rate.
_ENOUGH_PACKETS: Final = 10
# Width above which the substream is advised: models take 224 to 512 pixels.
_WIDE: Final = 1280
# Keyframe interval above which advice is given: after a loss no frame comes until a keyframe.
_RARE_KEYFRAMES_S: Final = 4.0
# Tolerance of rates, because the camera's clock and ours differ.
_TOLERANCE: Final = 0.98


@dataclass(frozen=True, slots=True)
class VideoProperties:
    """Properties of the video that a camera sends.

    Attributes:
        codec: FFmpeg's name of the codec, such as ``h264``.
        width: Width of the stored pictures, pixels.
        height: Height of the stored pictures, pixels.
        shown: Width and height of the upright pictures with square pixels.
        fps: Pictures per second; None for a single picture.
        keyframe_s: Seconds from keyframe to keyframe; None where no second keyframe came.
        looked_s: Seconds of video that were examined.
        first_frame_s: Seconds from opening to the first decoded frame.
        implausible: Pixel aspect that the stream states and that cannot be meant; None without one.
        choice: Which of several video streams this is, in words; None where there is only one.
    """

    codec: str
    width: int
    height: int
    shown: tuple[int, int]
    fps: float | None
    keyframe_s: float | None
    looked_s: float
    first_frame_s: float
    implausible: Fraction | None = None
    choice: str | None = None

    def __str__(self) -> str:
        text = self._text()
        return text if self.choice is None else f"{text}; {self.choice}"

    def _text(self) -> str:
        size = f"{self.width}x{self.height}"
        if self.shown != (self.width, self.height):
            size += " shown as {}x{}".format(*self.shown)
        if self.fps is None:
            return f"{self.codec}, {size}, one picture"
        if self.keyframe_s is None:
            keyframes = f"no second keyframe within {self.looked_s:.1f} s"
        else:
            keyframes = f"a keyframe every {self.keyframe_s:.1f} s"
        return (
            f"{self.codec}, {size}, {self.fps:.3g} fps, {keyframes}, first "
            f"frame after {self.first_frame_s:.2f} s"
        )


def look_at(camera: CameraConfig) -> VideoProperties:
    """Open a camera and watch it up to its second keyframe, or for ``LONGEST_LOOK_S``.

    This takes at most twice the camera's timeout for opening, plus ``LONGEST_LOOK_S`` and one
    timeout.

    Raises:
        SourceError: The camera is unreachable, refuses, is silent, or sends no decodable frame.
    """
    url = camera.url.get_secret_value()
    settings = SourceSettings(transport=camera.transport, timeout_s=camera.timeout)
    began = time.monotonic()
    first_frame: tuple[float, Frame] | None = None
    packets: list[Packet] = []
    with open_source(url, settings) as source:
        decoder = Decoder(source.stream, geometry_settings(camera))
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
        codec, choice = source.stream.codec_context.name, source.choice
    first_frame_s, frame = first_frame
    seen = frame.upright().picture
    fps = _fps(packets)
    return VideoProperties(
        codec=codec,
        width=frame.picture.width,
        height=frame.picture.height,
        shown=(seen.width, seen.height),
        fps=fps,
        keyframe_s=_keyframe_s(packets, fps),
        looked_s=_looked_s(packets),
        first_frame_s=first_frame_s,
        implausible=decoder.implausible,
        choice=choice,
    )


def advice(look: VideoProperties, camera: CameraConfig) -> tuple[str, ...]:
    """Advice on better settings, one sentence each; for a recording only on how it is shown."""
    remarks = list(_advice_on_shape(look, camera))
    if not is_live(camera.url.get_secret_value()):
        return tuple(remarks)
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


def _advice_on_shape(look: VideoProperties, camera: CameraConfig) -> Iterator[str]:
    """Advise to set the shape where the stream's pictures are probably squeezed."""
    if camera.aspect is not None:
        return
    width, height = look.shown
    whole = whole_shape(width, height)
    if whole is not None:
        yield (
            f"{width}x{height} is the shape of half a picture of {whole}: if things look squeezed, "
            f'set aspect: "{whole}"'
        )
    elif look.implausible is not None:
        yield (
            f"it says that its pixels are {float(look.implausible):.3g} times as wide as high, "
            'which is ignored: if things look squeezed, set aspect, such as "16:9"'
        )


def _seen_enough(packets: list[Packet], *, decoded: bool) -> bool:
    keyframes = sum(packet.is_keyframe for packet in packets)
    enough = decoded and keyframes > 1 and len(packets) >= _ENOUGH_PACKETS
    return enough or _looked_s(packets) >= LONGEST_LOOK_S


def _looked_s(packets: list[Packet]) -> float:
    if not packets:
        return 0.0
    return packets[-1].arrival.monotonic - packets[0].arrival.monotonic


def _fps(packets: list[Packet]) -> float | None:
    """Frame rate from the stream's own sorted times, if any, since arrivals come in bursts."""
    times = sorted(p.arrival.pts_s for p in packets if p.arrival.pts_s is not None)
    if len(times) < len(packets) / 2:
        times = [packet.arrival.monotonic for packet in packets]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    return 1 / median(gaps) if gaps and median(gaps) > 0 else None


def _keyframe_s(packets: list[Packet], fps: float | None) -> float | None:
    """Keyframe interval from counted packets: a keyframe's time may be missing (as the first's)."""
    places = [index for index, packet in enumerate(packets) if packet.is_keyframe]
    if fps is None or len(places) < 2:
        return None
    return median(later - earlier for earlier, later in pairwise(places)) / fps
