"""Defines a packet: one compressed picture between a source and the decoder."""

from dataclasses import dataclass

import av

from edge.video.sample import Arrival

# Largest accepted picture: 12 megapixels, the largest common surveillance sensor (4000 x 3000). A
# 200 kB H.264 stream can demand 8192 x 8192, which took 200 MB for one frame (measured).
MAX_PIXELS = 4096 * 3072


@dataclass(frozen=True, slots=True)
class Packet:
    """One compressed picture.

    Attributes:
        arrival: Time at which the packet came in.
        is_keyframe: Whether the packet can be decoded without any other packet.
        size: Size in bytes.
        data: FFmpeg's packet, for the decoder.
    """

    arrival: Arrival
    is_keyframe: bool
    size: int
    data: "av.Packet[av.VideoStream]"
