"""Chooses where a camera's video is decoded: on the CPU, or on a device through FFmpeg.

A device that is asked for by name and is not there is an error; nothing falls back in silence. With
``auto`` the first packets of each connection are decoded by all that is there, and a device is
taken only where it is clearly faster for this stream on this box: sending pictures back takes time,
and many a small stream is decoded sooner than that.

What leaves a device is a picture in memory like any other (NV12), for the same preprocess.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, dropwhile
from pathlib import Path
from typing import Final, Literal, Protocol, cast

import av
import av.error
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.video.codeccontext import VideoCodecContext

from edge.errors import SourceError
from edge.video.packet import MAX_PIXELS, Packet

logger = logging.getLogger(__name__)

Device = Literal["vaapi", "nvdec"]
Decode = Literal["auto", "cpu"] | Device

# Packets by which is measured, from a keyframe on; the seconds until then, with those before it.
_PACKETS: Final = 30
_LONGEST_S: Final = 5.0
# A device must take less than this share of the CPU's time. Less is within the error of the timing.
_WORTH: Final = 0.85


class PictureDecoder(Protocol):
    """What decodes packets: FFmpeg's context of a codec, or a device's."""

    def decode(self, packet: "av.Packet[av.VideoStream] | None") -> list[av.VideoFrame]:
        """Return the pictures that are complete with a packet; None ends the stream."""
        ...

    def flush_buffers(self) -> None:
        """Forget the stream so far."""
        ...


class Hardware(Protocol):
    """Devices of this box that decode video."""

    def obstacle(self, device: Device, codec: str) -> str | None:
        """Return why a device cannot decode a codec, and what to do; None where it can."""
        ...

    def open(self, device: Device, stream: av.VideoStream) -> VideoCodecContext:
        """Return a decoder for a stream.

        Raises:
            SourceError: The device or its driver refuses.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Kind:
    ffmpeg: str  # FFmpeg's name of the interface
    folder: str
    files: str
    advice: str


_TO_THE_SERVICE: Final = (
    "; the package's service sees no device before a drop-in opens it (docs/config.md, Where video "
    "is decoded)"
)
_KINDS: Final[dict[Device, _Kind]] = {
    "vaapi": _Kind(
        "vaapi", "/dev/dri", "renderD*",
        "install the GPU's driver (intel-media-va-driver or mesa-va-drivers), and let the user edge"
        " use the device (group render)" + _TO_THE_SERVICE,
    ),
    "nvdec": _Kind(
        "cuda", "/dev", "nvidia[0-9]*",
        "install NVIDIA's driver with its libnvcuvid (nvidia-smi must see the GPU). Jetson modules"
        " have no NVDEC for FFmpeg's cuda: leave decode: cpu there" + _TO_THE_SERVICE,
    ),
}  # fmt: skip


class FFmpegHardware:
    """``Hardware`` of this box through FFmpeg.

    A process in the sandbox can open no device. So decoders are made before, one for each codec
    that is likely, and each serves one connection.

    Args:
        devices: Folder of device files.
    """

    def __init__(self, devices: Path = Path("/")) -> None:
        self._root = devices
        self._ready: dict[tuple[Device, str], VideoCodecContext] = {}
        self.spent = False

    def make_ready(self, decode: Decode) -> None:
        """Open what a camera may need, while this process can."""
        wanted: Sequence[Device] = list(_KINDS) if decode == "auto" else []
        if decode in _KINDS:
            wanted = [decode]
        for device in wanted:
            for codec in ("h264", "hevc"):
                if self.obstacle(device, codec) is not None:
                    continue
                try:
                    self._ready[device, codec] = _context(device, codec)
                except SourceError as exc:
                    logger.warning("%s", exc)

    def obstacle(self, device: Device, codec: str) -> str | None:
        kind, known = _KINDS[device], hwdevices_available()
        if kind.ffmpeg not in known:
            return (
                f"the FFmpeg in PyAV was built without {kind.ffmpeg} (it has {', '.join(known)}): "
                "install a PyAV that was built with it (docs/config.md)"
            )
        configs = av.Codec(codec, "r").hardware_configs or ()
        if all(config.device_type.name != kind.ffmpeg for config in configs):
            return f"FFmpeg decodes no {codec} with {kind.ffmpeg}: set the camera to H.264 or H.265"
        folder = self._root / kind.folder.lstrip("/")
        if not any(folder.glob(kind.files)):
            return f"there is no {kind.folder}/{kind.files}: {kind.advice}"
        return None

    def open(self, device: Device, stream: av.VideoStream) -> VideoCodecContext:
        self.spent = True
        codec = stream.codec_context.name
        context = self._ready.pop((device, codec), None) or _context(device, codec)
        context.extradata = stream.codec_context.extradata
        return context


@dataclass(frozen=True, slots=True)
class Decoding:
    """Where a stream is decoded.

    Attributes:
        device: Device, or the CPU.
        why: Why, in words; None where there was nothing to choose.
        context: Decoder on the device; None: that of the stream.
    """

    device: Literal["cpu"] | Device = "cpu"
    why: str | None = None
    context: VideoCodecContext | None = None

    def __str__(self) -> str:
        return f"decoded by {self.device}" + (f" ({self.why})" if self.why else "")


ON_CPU: Final = Decoding()

Measure = Callable[[PictureDecoder, Sequence[Packet]], float | str]
"""Gives the milliseconds that a decoder takes for one picture, or why it has none."""


def timed(decoder: PictureDecoder, packets: Sequence[Packet]) -> float | str:
    """Return the milliseconds for one picture, or why there are none."""
    began, pictures = time.perf_counter(), 0
    try:
        for packet in packets:
            pictures += len(decoder.decode(packet.data))
        pictures += len(decoder.decode(None))
    except av.error.FFmpegError as exc:
        return f"fails: {exc.strerror}"
    took_ms = (time.perf_counter() - began) * 1000
    return took_ms / pictures if pictures else "gives no picture"


def chosen_decoding(
    decode: Decode,
    stream: av.VideoStream,
    packets: Iterator[Packet],
    hardware: Hardware,
    measure: Measure = timed,
) -> tuple[Decoding, Iterator[Packet]]:
    """Return where a stream is to be decoded, and its packets, none of which is lost.

    Raises:
        SourceError: The device that was asked for is not there, or ``packets`` raised it.
    """
    codec = stream.codec_context.name
    if decode == "cpu":
        return ON_CPU, packets
    if decode != "auto":
        obstacle = hardware.obstacle(decode, codec)
        if obstacle is not None:
            raise SourceError(f"decode: {decode} is not possible here: {obstacle}")
        return Decoding(decode, "as set", hardware.open(decode, stream)), packets
    obstacles = {device: hardware.obstacle(device, codec) for device in _KINDS}
    there = [device for device, obstacle in obstacles.items() if obstacle is None]
    if not there:
        why = "; ".join(f"{device}: {obstacle}" for device, obstacle in obstacles.items())
        return Decoding(why=why), packets
    first = list(_first(packets))
    measured = list(dropwhile(lambda packet: not packet.is_keyframe, first))
    if not measured:
        decoding = Decoding(why=f"no keyframe among the first {len(first)} packets")
    else:
        decoding = _fastest(there, stream, hardware, lambda each: measure(each, measured))
    return decoding, chain(first, packets)


def _fastest(
    devices: Sequence[Device],
    stream: av.VideoStream,
    hardware: Hardware,
    measure: Callable[[PictureDecoder], float | str],
) -> Decoding:
    on_cpu = measure(software(stream))
    if isinstance(on_cpu, str):
        return Decoding(why=f"the CPU decoded nothing to compare with: {on_cpu}")
    best, best_ms, words = ON_CPU, on_cpu * _WORTH, [f"cpu {on_cpu:.2f} ms a picture"]
    for device in devices:
        try:
            context = hardware.open(device, stream)
        except SourceError as exc:
            words.append(str(exc))
            continue
        found = measure(context)
        if isinstance(found, str):
            words.append(f"{device} {found}")
            continue
        words.append(f"{device} {found:.2f} ms")
        if found < best_ms:
            context.flush_buffers()  # which is as good as new
            best, best_ms = Decoding(device, context=context), found
    return replace(best, why=", ".join(words))


def _first(packets: Iterator[Packet]) -> Iterator[Packet]:
    """Take the packets by which is measured, and those before their keyframe."""
    taken, began = 0, math.inf
    for packet in packets:
        yield packet
        taken += taken > 0 or packet.is_keyframe
        began = min(began, packet.arrival.monotonic)
        if taken >= _PACKETS or packet.arrival.monotonic - began >= _LONGEST_S:
            return


def software(stream: av.VideoStream) -> VideoCodecContext:
    """Return a decoder on the CPU, beside that of the stream."""
    context = cast("VideoCodecContext", VideoCodecContext.create(stream.codec_context.name, "r"))
    context.extradata = stream.codec_context.extradata
    context.thread_type, context.thread_count = "NONE", 1
    context.options = {"max_pixels": str(MAX_PIXELS)}
    return context


def _context(device: Device, codec: str) -> VideoCodecContext:
    kind = _KINDS[device]
    failed = f"decode: {device} is not possible here"
    try:
        accelerated = HWAccel(kind.ffmpeg, allow_software_fallback=False)
        context = VideoCodecContext.create(codec, "r", hwaccel=accelerated)
    except (av.error.FFmpegError, RuntimeError) as exc:
        said = exc.strerror if isinstance(exc, av.error.FFmpegError) else str(exc)
        raise SourceError(f"{failed}: its driver says {said!r}: {kind.advice}") from exc
    if not context.is_hwaccel:  # PyAV would decode on the CPU
        raise SourceError(f"{failed}: FFmpeg decodes no {codec} with {kind.ffmpeg}")
    return cast("VideoCodecContext", context)
