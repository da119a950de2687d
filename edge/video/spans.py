"""Defines how long a stream is watched before it is judged."""

from dataclasses import dataclass
from typing import Final

from edge.video.shortfall import SHORTEST_S

# Two periods of ten seconds, the longest that cameras commonly have from keyframe to keyframe, less
# what arrivals jitter: three such keyframes are there 30 s after the camera froze, or sooner. The
# first may differ, as the encoder still saves for what moved; one that comes back is proof enough.
FROZEN_S: Final = 18.0


@dataclass(frozen=True, slots=True)
class JudgedSpans:
    """Spans that are judged together.

    Attributes:
        samples_s: Seconds in which samples are counted, at least.
        frozen_s: Seconds of the same picture after which a camera counts as frozen.
    """

    samples_s: float = SHORTEST_S
    frozen_s: float = FROZEN_S


SPANS: Final = JudgedSpans()
