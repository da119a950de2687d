"""Samples one camera for ever: makes samples of its packets, and reconnects after a failure.

It knows nothing of processes: the daemon runs it in one for each camera (``edge.video.process``).
"""

import logging
import math
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from random import Random
from typing import Final, Protocol

from edge.config.models import CameraConfig
from edge.errors import SourceError, SourceRefused
from edge.model.bundle.manifest import ImageSpec
from edge.system.backoff import CameraRetry
from edge.system.redact import redact
from edge.video.activity.gate import ActivityGate
from edge.video.activity.health import GATE_OFF
from edge.video.decode import Decoder, Frame, kept_frames
from edge.video.geometry import geometry_settings
from edge.video.hardware import FFmpegHardware, Hardware, chosen_decoding
from edge.video.patience import Patience
from edge.video.preprocess import Preprocessor
from edge.video.rate import RateMeter
from edge.video.sample import Sample
from edge.video.sampler import Sampler
from edge.video.sources import Packet, SourceSettings, is_live, open_source
from edge.video.space import Space
from edge.video.spans import SPANS, JudgedSpans
from edge.video.verdict import StreamVerdict
from edge.video.worker import BEGINNING, CameraHealth, State, Step

logger = logging.getLogger(__name__)

_OPEN: Final = ("streaming", "degraded", "frozen")
_CODECS: Final = {"h264": "H.264", "hevc": "H.265"}


class Outlet(Protocol):
    """Takes the samples of a camera. The loop's thread calls it."""

    def space(self) -> Space | None:
        """Return room for the pixels of the next sample; None while there is none."""
        ...

    def offer(self, sample: Sample, frame: Frame) -> None:
        """Take a sample, whose pixels were written to the last ``space``, and its frame."""
        ...

    def changed(self) -> None:
        """Take note that the camera's state has changed."""
        ...


class CameraLoop:
    """Samples a camera until it is stopped, or until a file ends.

    After a failure it connects again, for ever, with back-off. ``stop`` takes effect with the next
    packet, on a silent camera within half its timeout, and while one connects within two timeouts
    (FFmpeg cannot be interrupted there).

    Args:
        name: Name of the camera in the configuration.
        config: Configuration of the camera.
        spec: Size and resize rule of the pixels, from the bundle.
        outlet: Takes the samples.
        phase: Position of the samples within a sampling period, 0..1 (``edge.video.sampler``).
        clip_spec: Size and resize rule of a clip model's pixels; None without a clip model.
        spans: Spans of the stream that are judged together.
        before: Health of an earlier loop on this camera, whose counts go on.
        hardware: Devices that may decode.

    Attributes:
        doing: What the loop is doing, and since when (monotonic seconds).
    """

    def __init__(  # noqa: PLR0913  what every camera is given
        self,
        name: str,
        config: CameraConfig,
        spec: ImageSpec,
        outlet: Outlet,
        phase: float = 0.0,
        *,
        clip_spec: ImageSpec | None = None,
        spans: JudgedSpans = SPANS,
        before: CameraHealth = BEGINNING,
        hardware: Hardware | None = None,
    ) -> None:
        self.name = name
        self._decode, self._hardware = config.decode, hardware or FFmpegHardware()
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
        self._outlet = outlet
        self._retry = CameraRetry(Random())  # noqa: S311 (jitter, no secret)
        self._stop = threading.Event()
        self.doing: tuple[Step, float] = ("begin", time.monotonic())

        self._tried_at = 0.0
        self._streaming_since: float | None = None
        self._broken = True  # since the last sample
        self._codec: str | None = None  # FFmpeg's name, of the newest connection
        self._live = is_live(self._url)
        self._spans = spans
        self._verdict: StreamVerdict | None = None  # on a camera that streams

        self._lock = threading.Lock()  # guards all fields below
        self._health = replace(before, state="connecting", error=None)
        self._arrivals, self._sampled = RateMeter(), RateMeter()
        self._last_arrival = before.last_arrival

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
                last_arrival=self._last_arrival,
                gate=GATE_OFF if self._gate is None else self._gate.health,
            )

    def silence_s(self) -> float | None:
        """Return the seconds since the last packet; None before the first."""
        with self._lock:
            silence_s = self._arrivals.silence_s(time.monotonic())
        return silence_s if math.isfinite(silence_s) else None

    def stop(self) -> None:
        """Ask the loop to end, from any thread."""
        self._stop.set()

    def run(self) -> None:
        """Sample until the end."""
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
            self._do("end")
            self._set(state)

    def _stream(self) -> None:
        """Sample the stream until it ends."""
        self._streaming_since = self._verdict = None
        self._broken = True
        self._tried_at = time.monotonic()
        self._do("connect")
        with open_source(self._url, self._settings, self._stop) as source:
            if source.choice is not None:
                self._logger.info("camera %s: %s", self.name, source.choice)
            self._note_codec(source.stream.codec_context.name)
            decoding, packets = chosen_decoding(
                self._decode, source.stream, source.packets(), self._hardware
            )
            if decoding.why is not None:
                self._logger.info("camera %s: %s", self.name, decoding)
            decoder = Decoder(source.stream, self._geometry, decoding.context)
            fps, idle = self._rates.fps, self._rates.idle
            sampler = Sampler(fps, self._phase, idle=idle, aligned=self._live)
            self._gate = ActivityGate.of(source.stream) if self._gated else None
            packets = self._watched(packets, decoder, sampler)
            progress = partial(self._do, "decode")
            for frame in kept_frames(packets, decoder, sampler, self._gate, progress):
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
        self._do("read")
        for packet in packets:
            self._do("decode")
            with self._lock:
                self._arrivals.add(packet.arrival.monotonic)
                self._last_arrival = packet.arrival.wall
            yield packet
            corrupt = corrupt_before + decoder.corrupt
            if self._verdict is not None:
                if self._gate is not None and not self._gate.is_open:
                    self._verdict.idle(packet.arrival.monotonic)
                self._verdict.arrived(packet, damaged=corrupt - self._health.corrupt)
                self._announce(self._verdict)
            if corrupt != self._health.corrupt:
                with self._lock:
                    self._health = replace(self._health, corrupt=corrupt)
            now = packet.arrival.monotonic
            patience.check(now, decoder, skipping=sampler.skipping)
            self._do("read")

    def _offer(self, frame: Frame) -> None:
        """Make a sample of ``frame``; without room for it, it counts as dropped."""
        picture = frame.picture
        space = self._outlet.space()
        if space is not None:
            self._preprocess(picture, space.pixels)
            if self._preprocess_clip is not None:
                self._preprocess_clip(picture, space.clip_pixels)
        if self._streaming_since is None:
            self._note_streaming(frame)
        if self._verdict is not None:
            self._verdict.sampled(picture, frame.arrival.monotonic)
            self._announce(self._verdict)
            if self._verdict.frozen:  # no sample, so that alerts end
                self._broken = True
                return
        with self._lock:
            sequence = self._health.samples
            self._health = replace(
                self._health,
                samples=sequence + 1,
                dropped=self._health.dropped + (space is None),
            )
            self._sampled.add(frame.arrival.monotonic)
        if space is not None:
            size = picture.height, picture.width
            sample = Sample(
                self.name, sequence, frame.arrival, space.pixels, size, space.clip_pixels,
                heartbeat=frame.heartbeat, after_break=self._broken,
            )  # fmt: skip
            self._broken = False
            self._outlet.offer(sample, frame)

    def _note_streaming(self, frame: Frame) -> None:
        self._streaming_since = time.monotonic()
        if self._live:
            fps, idle = self._rates.fps, self._rates.idle
            self._verdict = StreamVerdict(fps, frame.arrival.monotonic, self._spans, idle)
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
        self._outlet.changed()

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
        self._do("wait")
        self._stop.wait(delay_s)

    def _do(self, step: Step) -> None:
        self.doing = step, time.monotonic()

    def _set(self, state: State, error: str | None = None) -> None:
        with self._lock:
            self._health = replace(self._health, state=state, error=error)
        self._outlet.changed()
