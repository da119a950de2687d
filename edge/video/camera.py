"""Samples one camera for ever: makes samples of its packets, and reconnects after a failure."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from typing import Final

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from edge.config.models import CameraConfig, SnapshotsConfig
from edge.errors import SourceError, SourceRefused, StruckOut
from edge.model.bundle.manifest import ImageSpec
from edge.system.attempts import NOT_NOTED, Attempts
from edge.system.backoff import CameraRetry
from edge.system.redact import redact
from edge.system.workers import WorkerThread
from edge.video.activity.gate import ActivityGate
from edge.video.activity.health import GATE_OFF
from edge.video.crop import cut_out
from edge.video.decode import Decoder, Frame, kept_frames
from edge.video.geometry import geometry_settings
from edge.video.jpeg import jpeg
from edge.video.patience import Patience
from edge.video.preprocess import Preprocessor
from edge.video.rate import RateMeter
from edge.video.sample import Sample
from edge.video.sampler import Sampler
from edge.video.sources import Packet, SourceSettings, is_live, open_source
from edge.video.verdict import SPANS, JudgedSpans, StreamVerdict
from edge.video.worker import CameraHealth, Edges, State

logger = logging.getLogger(__name__)

_OPEN: Final = ("streaming", "degraded", "frozen")
_CODECS: Final = {"h264": "H.264", "hevc": "H.265"}


class ThreadCamera:
    """``CameraWorker`` that samples a camera in a thread of this process.

    A camera that fails, hangs, floods or sends wrong times affects no other camera: its thread
    reconnects for ever, with back-off. ``stop`` takes effect with the next packet. The thread of a
    silent camera ends within half its timeout, and a connecting one within two timeouts (FFmpeg
    cannot be interrupted there). The thread does not keep the process alive.

    Args:
        name: Name of the camera in the configuration.
        config: Configuration of the camera.
        spec: Size and resize rule of the pixels, from the bundle.
        snapshots: Settings of the pictures, which decide whether frames are held.
        wake: Called from the thread when there is a new sample, and when the camera has ended.
        phase: Position of the samples within a sampling period, 0..1 (``edge.video.sampler``).
        clip_spec: Size and resize rule of a clip model's pixels; None without a clip model.
        spans: Spans of the stream that are judged together.
        attempts: Notes the camera until its first sample is there.
    """

    def __init__(  # noqa: PLR0913  what every camera is given
        self,
        name: str,
        config: CameraConfig,
        spec: ImageSpec,
        snapshots: SnapshotsConfig,
        wake: Callable[[], None],
        phase: float = 0.0,
        *,
        clip_spec: ImageSpec | None = None,
        spans: JudgedSpans = SPANS,
        attempts: Attempts = NOT_NOTED,
    ) -> None:
        self.name = name
        self._logger = logging.LoggerAdapter(logger, {"camera": name})  # a field of the journal
        self._url = config.url.get_secret_value()
        self._timeout_s = config.timeout
        self._geometry = geometry_settings(config)
        self._rates, self._phase = config.sample, phase
        self._gated = config.gate
        self._gate: ActivityGate | None = None  # of the newest connection
        self._settings = SourceSettings(
            transport=config.transport, timeout_s=config.timeout, realtime=True, loop=config.loop
        )
        self._preprocess = Preprocessor(spec)
        self._preprocess_clip = None if clip_spec is None else Preprocessor(clip_spec)
        self._snapshots = snapshots
        self._wake = wake
        self._retry = CameraRetry(Random())  # noqa: S311 (jitter, no secret)
        self._stop = threading.Event()
        self._thread = WorkerThread(f"camera[{name}]", self._run)

        self._attempts = attempts
        self._well: Callable[[], None] = lambda: None  # to be called at the first sample
        self._tried_at = 0.0
        self._streaming_since: float | None = None
        self._codec: str | None = None  # FFmpeg's name, of the newest connection
        self._live = is_live(self._url)
        self._spans = spans
        self._verdict: StreamVerdict | None = None  # on a camera that streams

        self._lock = threading.Lock()  # guards all fields below
        self._health = CameraHealth("connecting", 0.0, 0.0, 0, 0, 0, 0, None, None)
        self._arrivals, self._sampled = RateMeter(), RateMeter()
        self._slot: Sample | None = None  # one place: the newest sample wins
        self._newest: tuple[int, Frame] | None = None
        self._taken: tuple[int, Frame] | None = None

    def start(self) -> None:
        self._thread.start()

    def take(self) -> Sample | None:
        with self._lock:
            sample, self._slot = self._slot, None
            if sample is not None:
                self._taken = self._newest
            return sample

    def health(self) -> CameraHealth:
        with self._lock:
            now = time.monotonic()
            state = self._health.state
            if state in _OPEN and self._arrivals.silence_s(now) > self._timeout_s / 2:
                state = "stalled"
            return replace(
                self._health,
                state=state,
                fps_in=self._arrivals.per_second(now),
                fps_sampled=self._sampled.per_second(now),
                gate=GATE_OFF if self._gate is None else self._gate.health,
            )

    def snapshot(self, sequence: int, max_width: int | None = None) -> bytes | None:
        picture = self._held(sequence) if self._snapshots.publish else None
        if picture is None:
            return None
        try:
            return jpeg(picture, max_width or self._snapshots.max_width)
        except (av.error.FFmpegError, ValueError) as exc:  # the alert goes out without it
            self._logger.warning("camera %s: no snapshot: %s", self.name, exc)
            return None

    def pixels(
        self, sequence: int, spec: ImageSpec, box: Edges | None = None
    ) -> NDArray[np.int8] | None:
        picture = self._held(sequence)
        if picture is None:
            return None
        return Preprocessor(spec)(picture if box is None else cut_out(picture, box))

    def _held(self, sequence: int) -> av.VideoFrame | None:
        with self._lock:
            held = dict(pair for pair in (self._taken, self._newest) if pair is not None)
        frame = held.get(sequence)
        return None if frame is None else frame.picture

    def stop(self, timeout_s: float) -> bool:
        self._stop.set()
        return self._thread.join(timeout_s)

    @property
    def failed(self) -> bool:
        return self._thread.failed

    def _run(self) -> None:
        state: State = "failed"
        try:
            while not self._stop.is_set():
                try:
                    self._stream()
                except Exception as exc:  # noqa: BLE001  this thread's owner: one attempt is lost
                    if not self._stop.is_set():
                        self._wait_after(exc)
                else:
                    break
            state = "stopped" if self._stop.is_set() else "ended"
            self._logger.info("camera %s: %s", self.name, state)
        finally:
            self._set(state)
            self._wake()

    def _stream(self) -> None:
        """Sample the stream until it ends, unless the process has ended over that twice."""
        self._streaming_since = self._verdict = None
        self._tried_at = time.monotonic()
        part, facts = f"camera {self.name}", f"{self._url} {self._settings.transport}"
        try:
            with self._attempts.trying(part, facts, "give it another url or codec") as self._well:
                self._sample()
        except StruckOut as exc:
            raise SourceRefused(str(exc)) from exc

    def _sample(self) -> None:
        with open_source(self._url, self._settings, self._stop) as source:
            if source.choice is not None:
                self._logger.info("camera %s: %s", self.name, source.choice)
            self._note_codec(source.stream.codec_context.name)
            decoder = Decoder(source.stream, self._geometry)
            fps, idle = self._rates.fps, self._rates.idle
            sampler = Sampler(fps, self._phase, idle=idle, aligned=self._live)
            self._gate = ActivityGate.of(source.stream) if self._gated else None
            packets = self._watched(source.packets(), decoder, sampler)
            for frame in kept_frames(packets, decoder, sampler, self._gate):
                self._offer(frame)

    def _note_codec(self, codec: str) -> None:
        before, self._codec = self._codec, codec
        if before is not None and before != codec:
            words = [_CODECS.get(name, name) for name in (codec, before)]
            self._logger.warning("camera %s: sends %s now; it sent %s before", self.name, *words)

    def _watched(
        self, packets: Iterator[Packet], decoder: Decoder, sampler: Sampler
    ) -> Iterator[Packet]:
        """Count the packets; raise when no frame came for too long."""
        corrupt_before = self._health.corrupt
        patience = Patience(redact(self._url), self._timeout_s, time.monotonic())
        for packet in packets:
            with self._lock:
                self._arrivals.add(packet.arrival.monotonic)
                self._health = replace(self._health, last_arrival=packet.arrival.wall)
            yield packet
            corrupt = corrupt_before + decoder.corrupt
            if self._verdict is not None:
                if self._gate is not None and not self._gate.is_open:
                    self._verdict.idle(packet.arrival.monotonic)
                self._verdict.arrived(packet, damaged=corrupt - self._health.corrupt)
                self._announce(self._verdict)
            with self._lock:
                self._health = replace(self._health, corrupt=corrupt)
            now = packet.arrival.monotonic
            patience.check(now, decoder, skipping=sampler.skipping)

    def _offer(self, frame: Frame) -> None:
        """Put a sample of ``frame`` into the slot."""
        picture = frame.picture
        pixels = self._preprocess(picture)
        clip = None if self._preprocess_clip is None else self._preprocess_clip(picture)
        size = picture.height, picture.width
        if self._streaming_since is None:
            self._note_streaming(frame)
        if self._verdict is not None:
            self._verdict.sampled(picture, frame.arrival.monotonic)
            self._announce(self._verdict)
            if self._verdict.frozen:  # no sample, so that alerts end
                return
        with self._lock:
            sample = Sample(
                self.name,
                self._health.samples,
                frame.arrival,
                pixels,
                size,
                clip,
                heartbeat=frame.heartbeat,
            )
            self._health = replace(
                self._health,
                samples=self._health.samples + 1,
                dropped=self._health.dropped + (self._slot is not None),
            )
            self._sampled.add(frame.arrival.monotonic)
            self._slot = sample
            self._newest = (sample.sequence, frame)
        self._wake()

    def _note_streaming(self, frame: Frame) -> None:
        self._streaming_since = time.monotonic()
        self._well()
        if self._live:
            self._verdict = StreamVerdict(self._rates.fps, frame.arrival.monotonic, self._spans)
        picture = frame.picture
        self._logger.info("camera %s: streaming %dx%d", self.name, picture.width, picture.height)
        with self._lock:
            again = self._health.samples > 0
            self._health = replace(
                self._health,
                state="streaming",
                reconnects=self._health.reconnects + again,
                error=None,
            )

    def _announce(self, verdict: StreamVerdict) -> None:
        """Say of a camera that streams whether what it sends is of use, when that changes."""
        state, error = verdict.words
        if (state, error) == (self._health.state, self._health.error):
            return
        level = logging.INFO if error is None else logging.WARNING
        self._logger.log(level, "camera %s: %s", self.name, error or "all is well again")
        self._set(state, error)

    def _wait_after(self, error: Exception) -> None:
        """Say what went wrong, and wait; a defect of ours or a library's costs one attempt too."""
        now, since = time.monotonic(), self._streaming_since
        delay_s = (
            self._retry.delay_s(error, streamed_s=0.0, tried_s=now - self._tried_at)
            if since is None
            else self._retry.delay_s(error, streamed_s=now - since)
        )
        expected = isinstance(error, SourceError)
        text = redact(str(error) if expected else f"{type(error).__name__}: {error}")
        known = text == self._health.error
        refused = isinstance(error, SourceRefused)
        self._set("refused" if refused else "retrying" if expected else "failed", text)
        level = logging.DEBUG if known else logging.WARNING if expected else logging.ERROR
        trace = None if known or expected else error  # once per failure, not per attempt
        message = "camera %s: %s; next try in %.1f s"
        self._logger.log(level, message, self.name, text, delay_s, exc_info=trace)
        self._stop.wait(delay_s)

    def _set(self, state: State, error: str | None = None) -> None:
        with self._lock:
            self._health = replace(self._health, state=state, error=error)
