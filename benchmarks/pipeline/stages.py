"""Runs the daemon's stages one after the other and times each of them.

One thread does everything, frame by frame, so that no two stages overlap and the core time of each
is known.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from benchmarks.measuring.statistics import quantiles
from benchmarks.pipeline.config import CAMERA
from benchmarks.pipeline.stopwatch import Lap, Stopwatch
from edge.alerts.pipeline import Pipeline
from edge.config.models import Config
from edge.delivery.message import Message
from edge.delivery.outbox import Outbox
from edge.delivery.publisher import Publisher
from edge.errors import PublishError, SourceError
from edge.system.redact import redact
from edge.video.decode import Decoder, Frame, kept_frames
from edge.video.preprocess import Preprocessor
from edge.video.sample import Sample
from edge.video.sampler import Sampler
from edge.video.sources import Packet, SourceSettings, is_live, open_source

PERCENTS = (50, 95, 99)

# Number of last frames that the comparison with the engine uses.
_KEPT = 8
_PUBACK_S = 10.0


@dataclass(frozen=True, slots=True)
class Video:
    """Description of the video.

    Attributes:
        source: Path or URL without credentials.
        codec: FFmpeg's name of the codec.
        width: Width of the pictures, pixels.
        height: Height of the pictures, pixels.
        fps: Frames per second as the stream declares them; None if it does not.
        keyframes_only: Whether keyframes alone were enough for the sampler.
    """

    source: str
    codec: str
    width: int
    height: int
    fps: float | None
    keyframes_only: bool


@dataclass(frozen=True, slots=True)
class StageResult:
    """Times of one stage per kept frame, milliseconds.

    Attributes:
        stage: Name of the stage.
        ms: Quantiles of the wall time; None if that time is a wait for a camera.
        core_ms: Mean time on all cores together.
    """

    stage: str
    ms: dict[str, float] | None
    core_ms: float


class Acknowledgements:
    """Acknowledgements of the broker, for which the measuring thread can wait."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._missing = 0

    def note(self, _message: Message, _at: float) -> None:
        """Note one acknowledgement; the publisher's thread calls this."""
        with self._changed:
            self._missing -= 1
            self._changed.notify()

    def wait_for(self, messages: int) -> None:
        """Wait for this many further acknowledgements.

        Raises:
            PublishError: They do not arrive in time.
        """
        with self._changed:
            self._missing += messages
            if not self._changed.wait_for(lambda: self._missing <= 0, _PUBACK_S):
                raise PublishError(
                    f"the broker left {self._missing} messages unacknowledged for {_PUBACK_S:g} s"
                )


@dataclass(frozen=True, slots=True)
class Line:
    """Stages of the daemon after the decoder.

    Attributes:
        preprocess: Preprocessing of the bundle.
        pipeline: Stages from the engine to the messages.
        outbox: Queue on disk.
        acknowledgements: Acknowledgements to wait for; None without a broker.
    """

    preprocess: Preprocessor
    pipeline: Pipeline
    outbox: Outbox
    acknowledgements: Acknowledgements | None

    def bring(self, frame: Frame, sequence: int, watch: Stopwatch) -> None:
        """Bring one frame through the stages to the outbox, and to the broker if there is one."""
        pipeline = self.pipeline
        with watch.stage("preprocess"):
            pixels = self.preprocess(frame.picture)
        sample = Sample(CAMERA, sequence, frame.arrival, pixels)
        with watch.stage("engine", core=time.process_time_ns):
            scored = pipeline.score(sample)
        if scored is None:
            return  # the model needs more frames first
        with watch.stage("scores"):
            weighed = pipeline.weigh(sample, scored)
        with watch.stage("events"):
            happenings = pipeline.decide(sample, weighed)
        with watch.stage("payload"):
            messages = pipeline.report(sample, scored, happenings)
        with watch.stage("outbox"):
            self.outbox.put(messages)
        pipeline.pass_on()
        if self.acknowledgements is not None:
            with watch.stage("mqtt", core=time.process_time_ns):
                self.acknowledgements.wait_for(len(messages))


@contextmanager
def publishing(config: Config, outbox: Outbox, connect_s: float) -> Iterator[Acknowledgements]:
    """Run a connected publisher.

    Args:
        config: Configuration with the broker's address.
        outbox: Outbox that the publisher empties.
        connect_s: Longest wait for the connection, seconds.

    Raises:
        PublishError: The broker cannot be reached.
    """
    acknowledgements = Acknowledgements()
    publisher = Publisher(config.mqtt, config.device.id, outbox, acknowledgements.note)
    publisher.start()
    try:
        deadline = time.monotonic() + connect_s
        while not publisher.connected:
            if time.monotonic() > deadline:
                raise PublishError(publisher.health().error or "the broker does not answer")
            time.sleep(0.01)
        yield acknowledgements
    finally:
        publisher.stop()


def time_stages(
    line: Line,
    url: str,
    fps: float,
    *,
    warmup: int,
    frames: int,
    progress: Callable[[], None],
) -> tuple[Video, tuple[StageResult, ...], list[Frame]]:
    """Bring frames of a file or a camera through the stages.

    Args:
        line: Stages, used by this thread only.
        url: File or camera; a file is repeated as often as needed.
        fps: Kept frames per second.
        warmup: Kept frames that do not count.
        frames: Kept frames that count.
        progress: Called after each kept frame.

    Returns:
        Description of the video, result of each stage, and the last few frames.

    Raises:
        EdgeError: From the stages, as they raise it in the daemon.
    """
    watch = Stopwatch()
    pictures: list[Frame] = []
    with open_source(url, SourceSettings(loop=True)) as source:
        decoder, sampler = Decoder(source.stream), Sampler(fps)
        kept = kept_frames(_demuxed(source.packets(), watch), decoder, sampler)
        for sequence in range(warmup + frames):
            with watch.stage("decode"):
                frame = next(kept, None)
            if frame is None:
                raise SourceError(f"{redact(url)} ended after {sequence} kept frames")
            line.bring(frame, sequence, watch)
            watch.end_frame()
            pictures = [*pictures[1 - _KEPT :], frame]
            progress()
        stream = source.stream
        video = Video(
            source=redact(url),
            codec=stream.codec_context.name,
            width=stream.codec_context.width,
            height=stream.codec_context.height,
            fps=float(stream.average_rate) if stream.average_rate else None,
            keyframes_only=sampler.keyframes_only,
        )
    waiting = {"demux"} if is_live(url) else set()
    return video, _summary(watch.frames[warmup:], waiting), pictures


def _demuxed(packets: Iterator[Packet], watch: Stopwatch) -> Iterator[Packet]:
    while True:
        with watch.stage("demux"):
            packet = next(packets, None)
        if packet is None:
            return
        yield packet


def _summary(frames: Sequence[dict[str, Lap]], waiting: set[str]) -> tuple[StageResult, ...]:
    # The decoder requests packets, so its lap begins first, against the direction of the data.
    names = sorted(frames[0], key=lambda name: name != "demux")
    return tuple(
        StageResult(
            stage=name,
            ms=None
            if name in waiting
            else quantiles([laps[name].wall_ms for laps in frames], PERCENTS),
            core_ms=float(np.mean([laps[name].core_ms for laps in frames])),
        )
        for name in names
    )
