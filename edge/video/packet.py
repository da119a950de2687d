"""One compressed picture on its way from a source to the decoder."""

from dataclasses import dataclass

import av

from edge.video.sample import Arrival

# 12 megapixels, the largest common surveillance sensor (4000 x 3000). A 200 kB H.264 stream can
# ask for 8192 x 8192, which took 200 MB for one frame (measured).
MAX_PIXELS = 4096 * 3072


@dataclass(frozen=True, slots=True)
class Packet:
    """One compressed picture.

    Attributes:
        arrival: When it came in.
        is_keyframe: Decodable without any other packet.
        size: Bytes.
        data: FFmpeg's packet, for the decoder.
    """

    arrival: Arrival
    is_keyframe: bool
    size: int
    data: "av.Packet[av.VideoStream]"
