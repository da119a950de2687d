"""Scores prompts on a picture, a recording or a camera in the same way as the daemon."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, cast

import av
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from edge.model.bundle.manifest import ImageSpec
from edge.rules.bank import PromptBank
from edge.scoring.margins import margins
from edge.scoring.scorers.base import Scorer
from edge.video.decode import Decoder, kept_frames
from edge.video.geometry import GeometrySettings
from edge.video.patience import TIMEOUTS
from edge.video.preprocess import Preprocessor
from edge.video.sample import Arrival, Sample
from edge.video.sampler import Sampler
from edge.video.sources import Packet, Source, SourceSettings
from edge.video.sources.container import seconds

# As long as the daemon waits for a keyframe with the default timeout.
_NO_KEYFRAME_S: Final = TIMEOUTS * SourceSettings().timeout_s


@dataclass(frozen=True, slots=True, eq=False)
class ScoredFrame:
    """Scores of one frame for P prompts.

    Attributes:
        t: Seconds from the beginning of the recording, or from the camera's first frame.
        cosine: float32 [P], cosine of each prompt.
        margin: float32 [P], margin of each prompt.
    """

    t: float
    cosine: NDArray[np.float32]
    margin: NDArray[np.float32]


def score_frames(
    source: Source,
    spec: ImageSpec,
    scorer: Scorer,
    bank: PromptBank,
    *,
    fps: float,
    duration_s: float | None = None,
    geometry: GeometrySettings | None = None,
) -> Iterator[ScoredFrame]:
    """Score the frames of ``source``, as fast as it gives packets and the engine takes pictures.

    Args:
        source: Source that has just been opened.
        spec: Size and preprocessing of the pixels, from the bundle.
        scorer: Turns samples into cosines; a model of clips gives none for the first few frames.
        bank: Compiled prompts.
        fps: Frames per second to score.
        duration_s: Seconds of video after which to stop.
        geometry: How the pictures are to be seen, in place of what the stream says.

    Raises:
        SourceError: The video broke, or had no decodable frame.
        InferenceError: The engine failed.
    """
    preprocess = Preprocessor(spec)
    begin = begin_s(source.stream)
    packets = source.packets() if duration_s is None else _within(source.packets(), duration_s)
    first: Arrival | None = None
    kept = kept_frames(packets, Decoder(source.stream, geometry), Sampler(fps))
    for sequence, frame in enumerate(kept):
        first = first or frame.arrival
        pts_s = frame.arrival.pts_s
        if begin is None or pts_s is None:
            t = frame.arrival.monotonic - first.monotonic
        else:
            t = pts_s - begin
        sample = Sample("", sequence, frame.arrival, preprocess(frame.picture))
        (scored,) = scorer.score([sample], bank)
        if scored is not None:
            scores = margins(bank, scored.cosines)
            yield ScoredFrame(t, scores.cosine, scores.margin)


def margins_by_prompt(
    bank: PromptBank, frames: Sequence[ScoredFrame]
) -> dict[str, NDArray[np.float32]]:
    """Return each prompt's margin over time, float32 [frames], by name; needs one frame or more."""
    columns = np.stack([frame.margin for frame in frames], axis=1)  # [P, frames]
    return dict(zip(bank.names, columns, strict=True))


def length_s(stream: av.VideoStream) -> float | None:
    """Return the length that a recording declares; None for a picture, or without such a value."""
    if stream.duration is not None:
        return seconds(stream.duration, _time_base(stream))
    container = cast("InputContainer", stream.container)
    return None if container.duration is None else container.duration / av.time_base


def begin_s(stream: av.VideoStream) -> float | None:
    """Return the pts of a recording's first frame; None for a camera, whose times may jump.

    Call it before the first packet is read: FFmpeg later sets the value for cameras too.
    """
    return seconds(stream.start_time, _time_base(stream))


def _time_base(stream: av.VideoStream) -> Fraction:
    return stream.time_base or Fraction(1)


def _within(packets: Iterator[Packet], duration_s: float) -> Iterator[Packet]:
    """Yield the packets of ``duration_s`` seconds from the first keyframe on.

    A client connects between two keyframes, which with a "smart" codec may be ten seconds and more
    apart. Without any, the packets end after as long as the daemon would wait.
    """
    ends: float | None = None
    given_up: float | None = None
    for packet in packets:
        now = packet.arrival.monotonic
        if given_up is None:
            given_up = now + _NO_KEYFRAME_S
        if ends is None and packet.is_keyframe:
            ends = now + duration_s
        if now > (given_up if ends is None else ends):
            return
        yield packet
