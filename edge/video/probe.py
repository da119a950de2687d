"""Probes a camera: whether it answers, what it sends, and which settings would be better."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from statistics import median
from typing import Final

from edge.config.models import CameraConfig
from edge.system.redact import redact
from edge.video.decode import Decoder, kept_frames
from edge.video.geometry import geometry_settings, whole_shape
from edge.video.hardware import FFmpegHardware, chosen_decoding
from edge.video.patience import TIMEOUTS, Patience
from edge.video.sampler import Sampler
from edge.video.sources import Packet, SourceSettings, is_live, open_source

# Longest part of the video that is examined after its first frame while no second keyframe comes.
LONGEST_LOOK_S: Final = 10.0
# Number of packets, and seconds of them, that are enough to determine the frame rate.
_ENOUGH_PACKETS: Final = 10
_ENOUGH_S: Final = 2.0
# A camera may send what it has kept since its last keyframe in a burst when a client connects.
_BURST_S: Final = 0.5
# The frame rate of the stream's own times counts where it is this close to the rate of arrival.
# Some cameras count in another unit, jump, or send the same time with every picture.
_PLAUSIBLE: Final = 0.25
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
        decoding: Where it is decoded and why, in words; None where there was nothing to choose.
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
    decoding: str | None = None

    def __str__(self) -> str:
        text = self._text()
        return "; ".join([text, *(each for each in (self.choice, self.decoding) if each)])

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


def longest_s(camera: CameraConfig) -> float:
    """Return the seconds that ``look_at`` takes at most: to open, wait, look, and say why not."""
    return (TIMEOUTS + 3) * camera.timeout + LONGEST_LOOK_S + 3.0


def look_at(camera: CameraConfig) -> VideoProperties:
    """Open a camera as the daemon does, and watch it up to its second keyframe.

    Where no second keyframe comes, the look ends ``LONGEST_LOOK_S`` after the first frame. The
    first frame is waited for as long as the daemon waits.

    Raises:
        SourceError: The camera is unreachable, refuses, is silent, or sends no decodable frame.
    """
    url = camera.url.get_secret_value()
    settings = SourceSettings(transport=camera.transport, timeout_s=camera.timeout)
    began = time.monotonic()
    with open_source(url, settings) as source:
        decoding, packets = chosen_decoding(
            camera.decode, source.stream, source.packets(), FFmpegHardware()
        )
        decoder = Decoder(source.stream, geometry_settings(camera), decoding.context)
        sampler = Sampler(camera.sample.fps)
        look = _Look(Patience(redact(url), camera.timeout, began))
        frames = kept_frames(look.watched(packets, decoder, sampler), decoder, sampler)
        shown = next(
            frames
        ).picture  # or a SourceError: a stream without a frame never ends silently
        first_frame_s = time.monotonic() - began
        for _ in frames:  # to the end of the look
            pass
        stored, choice = decoder.context, source.choice
    return VideoProperties(
        codec=stored.name,
        width=stored.width,
        height=stored.height,
        shown=(shown.width, shown.height),
        fps=look.fps(),
        keyframe_s=look.keyframe_s(),
        looked_s=look.looked_s,
        first_frame_s=first_frame_s,
        implausible=decoder.implausible,
        choice=choice,
        decoding=None if decoding.why is None else str(decoding),
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


class _Look:
    """What is noted of each packet while a camera is watched."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._arrivals: list[float] = []
        self._times: list[float] = []  # of the stream itself, where it has any
        self._keyframes: list[int] = []  # their places among the packets
        self._first_frame: float | None = None

    def watched(
        self, packets: Iterator[Packet], decoder: Decoder, sampler: Sampler
    ) -> Iterator[Packet]:
        """Note the packets; end when enough was seen, raise when no frame comes."""
        for packet in packets:
            now = packet.arrival.monotonic
            if packet.is_keyframe:
                self._keyframes.append(len(self._arrivals))
            self._arrivals.append(now)
            if packet.arrival.pts_s is not None:
                self._times.append(packet.arrival.pts_s)
            yield packet
            if self._first_frame is None and decoder.frames:
                self._first_frame = now
            self._patience.check(now, decoder, skipping=sampler.skipping)
            if self._seen_enough(now):
                return

    @property
    def looked_s(self) -> float:
        return self._arrivals[-1] - self._arrivals[0] if self._arrivals else 0.0

    def fps(self) -> float | None:
        """Frame rate of arrival; the more precise one of the stream's own times if it fits."""
        arrived = self._arrived_fps()
        times = sorted(self._times)
        gap = median(later - earlier for earlier, later in pairwise(times)) if times[1:] else 0.0
        if arrived is None or gap <= 0 or len(times) < len(self._arrivals) / 2:
            return arrived
        return 1 / gap if abs(1 / gap / arrived - 1) <= _PLAUSIBLE else arrived

    def keyframe_s(self) -> float | None:
        """Keyframe interval by count, since a burst says nothing about time."""
        fps = self.fps()
        if fps is None or len(self._keyframes) < 2:
            return None
        return median(later - earlier for earlier, later in pairwise(self._keyframes)) / fps

    def _seen_enough(self, now: float) -> bool:
        if self._first_frame is None:
            return False
        packets = len(self._arrivals) >= _ENOUGH_PACKETS and self.looked_s >= _ENOUGH_S
        enough = packets and len(self._keyframes) > 1
        return enough or now - self._first_frame >= LONGEST_LOOK_S

    def _arrived_fps(self) -> float | None:
        settled = [at for at in self._arrivals if at - self._arrivals[0] >= _BURST_S]
        arrivals = settled if len(settled) >= _ENOUGH_PACKETS else self._arrivals
        span = arrivals[-1] - arrivals[0] if arrivals else 0.0
        return (len(arrivals) - 1) / span if span > 0 else None
