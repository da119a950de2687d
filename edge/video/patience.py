"""Waits for a decodable frame, in the daemon and in ``edge check`` alike."""

from edge.errors import SourceError
from edge.video.decode import Decoder

# Number of timeouts without a decodable frame after which the stream counts as unusable. Several,
# because a camera with a "smart" codec may send a keyframe only every ten seconds or more, and a
# client may connect in between.
TIMEOUTS = 4
# Number of packets without a picture, not even a damaged one, after which a stream that gave some
# has become another one. Decoders hold back fewer for reordering.
_FRUITLESS = 20


class Patience:
    """Gives a stream up that sends packets but no frame.

    A stream that was fine and then makes no picture at all is given up after one timeout: a camera
    that was set to another codec needs a new connection. Damaged pictures wait for a keyframe.

    Args:
        name: Location of the stream, without credentials.
        timeout_s: Timeout of the camera.
        now: Monotonic seconds.
    """

    def __init__(self, name: str, timeout_s: float, now: float) -> None:
        self._name = name
        self._timeout_s = timeout_s
        self._longest_s = TIMEOUTS * timeout_s
        self._fruitful, self._frames = now, 0
        self._pictured = now

    def check(self, now: float, decoder: Decoder, *, skipping: bool) -> None:
        """Check after a packet whether the last frame is recent enough.

        Args:
            now: Arrival of the packet.
            decoder: Decoder of the stream.
            skipping: Whether packets are skipped on purpose, as there are enough keyframes.

        Raises:
            SourceError: No frame came for too long.
        """
        if not (decoder.frames and decoder.fruitless):
            self._pictured = now
        elif decoder.fruitless >= _FRUITLESS and now - self._pictured > self._timeout_s:
            raise SourceError(
                f"{self._name} sent packets for {self._timeout_s:g} s that are no pictures "
                f"({decoder.why_no_frames()}), though it had sent some before: was it set to "
                "another codec?"
            )
        if decoder.frames > self._frames or skipping:
            self._frames, self._fruitful = decoder.frames, now
        elif now - self._fruitful > self._longest_s:
            raise SourceError(
                f"{self._name} sent packets for {self._longest_s:g} s but no decodable frame "
                f"({decoder.why_no_frames()}): ask the camera for H.264 or H.265 with a keyframe "
                "every 2 s (its I-frame interval)"
            )
