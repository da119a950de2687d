"""Splits a clip into the parts that a camera sends: access units of NAL units, with times."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from os import PathLike
from statistics import median
from typing import Literal, Self

import av
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from edge.errors import SourceError
from edge.system.trouble import words_of
from edge.video.sources.choice import best_video

Codec = Literal["h264", "hevc"]

_TO_ANNEX_B = {"h264": "h264_mp4toannexb", "hevc": "hevc_mp4toannexb"}
# nal_unit_type of the parameter sets: H.264 table 7-1 (SPS, PPS), H.265 table 7-1 (VPS, SPS, PPS).
_PARAMETER_SET_TYPES = {"h264": (7, 8), "hevc": (32, 33, 34)}


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One coded picture and the NAL units that belong to it.

    Attributes:
        dts_s: Time to send it, in seconds since the first unit.
        pts_s: Time to show it, in seconds since the clip's first picture. With B-frames, these
            times are not in order.
        keyframe: Whether a decoder can start here.
        nals: NAL units without start codes, in sending order.
    """

    dts_s: float
    pts_s: float
    keyframe: bool
    nals: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Clip:
    """Whole clip in memory, shared by all clients that play it. ``Clip.read`` makes one.

    Attributes:
        codec: Codec: ``h264`` or ``hevc``.
        units: Access units in decoding order.
        parameter_sets: Distinct sets of each type (H.264: SPS, PPS; H.265: VPS, SPS, PPS).
        duration_s: Seconds from the first frame of one pass to the first frame of the next.
    """

    codec: Codec
    units: tuple[AccessUnit, ...]
    parameter_sets: tuple[tuple[bytes, ...], ...]
    duration_s: float

    @classmethod
    def read(cls, path: str | PathLike[str]) -> Self:
        """Demux the video stream of ``path`` that a source would take; nothing is decoded.

        Raises:
            SourceError: The file is no readable video, is neither H.264 nor H.265, or has no
                timestamps or no parameter sets.
        """
        try:
            with av.open(path, "r") as container:
                stream = best_video(container.streams)
                if stream is None:
                    raise SourceError(f"{path}: expected a video stream, found none")
                codec = _codec(path, stream)
                packets = _annex_b_packets(path, container, stream, codec)
        except (FFmpegError, OSError) as exc:
            raise SourceError(
                f"{path}: expected a readable video file, found: {words_of(exc)}"
            ) from exc
        units = _access_units(packets)
        if not units:
            raise SourceError(f"{path}: expected a video with at least one frame, found none")
        return cls(codec, units, _parameter_sets(path, codec, units), _duration(units))


def split_annex_b(data: bytes) -> tuple[bytes, ...]:
    """Split a byte stream (H.264 / H.265 Annex B) into NAL units without start codes.

    Emulation prevention keeps 00 00 01 out of NAL units, and no NAL unit may end in 00. So zeros
    before a start code are padding.
    """
    return tuple(nal for part in data.split(b"\0\0\1")[1:] if (nal := part.rstrip(b"\0")))


def nal_type(codec: Codec, nal: bytes) -> int:
    """Return the ``nal_unit_type`` of a NAL unit."""
    return nal[0] & 0x1F if codec == "h264" else (nal[0] >> 1) & 0x3F


@dataclass(frozen=True, slots=True)
class _Packet:
    pts_s: float
    keyframe: bool
    data: bytes


def _codec(path: str | PathLike[str], stream: VideoStream) -> Codec:
    match stream.codec_context.name:
        case "h264":
            return "h264"
        case "hevc":
            return "hevc"
        case other:
            raise SourceError(
                f"{path}: expected H.264 or H.265 video, found {other}; convert it first, for "
                "example with: ffmpeg -i IN -c:v libx264 OUT.mp4"
            )


def _annex_b_packets(
    path: str | PathLike[str], container: InputContainer, stream: VideoStream, codec: Codec
) -> list[_Packet]:
    to_annex_b = BitStreamFilterContext(_TO_ANNEX_B[codec], stream)
    packets = []
    for packet in container.demux(stream):
        if packet.size == 0:  # the flush packet at the end
            continue
        if packet.pts is None:
            raise SourceError(
                f"{path}: expected a timestamp on every packet, found one without; put the video "
                "into a container that keeps time, for example with: ffmpeg -i IN -c copy OUT.mp4"
            )
        # The filter empties its input packet, so the packet is read first.
        pts_s, keyframe = float(packet.pts * packet.time_base), packet.is_keyframe
        data = b"".join(bytes(converted) for converted in to_annex_b.filter(packet))
        packets.append(_Packet(pts_s, keyframe, data))
    return packets


def _access_units(packets: Sequence[_Packet]) -> tuple[AccessUnit, ...]:
    # Some containers lack decoding times; sorted presentation times serve as well.
    times = sorted(packet.pts_s for packet in packets)
    return tuple(
        AccessUnit(
            dts_s - times[0],
            packet.pts_s - times[0],
            packet.keyframe,
            split_annex_b(packet.data),
        )
        for dts_s, packet in zip(times, packets, strict=True)
    )


def _parameter_sets(
    path: str | PathLike[str], codec: Codec, units: Sequence[AccessUnit]
) -> tuple[tuple[bytes, ...], ...]:
    found: dict[int, dict[bytes, None]] = {kind: {} for kind in _PARAMETER_SET_TYPES[codec]}
    for unit in units:
        for nal in unit.nals:
            found.get(nal_type(codec, nal), {})[nal] = None
    if not all(found.values()):
        raise SourceError(
            f"{path}: expected parameter sets of NAL types {sorted(found)}, found only "
            f"{sorted(kind for kind, sets in found.items() if sets)}"
        )
    return tuple(tuple(sets) for sets in found.values())


def _duration(units: Sequence[AccessUnit]) -> float:
    times = [unit.dts_s for unit in units]
    steps = [later - earlier for earlier, later in pairwise(times)]
    frame_s = median(steps) if steps else 1.0  # a still picture: one frame a second
    return times[-1] + frame_s
