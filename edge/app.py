"""The daemon: opens everything, then one loop from cameras to the outbox, closes in reverse.

Who reads this file has read the program. Cameras sample in threads of their own, the publisher
empties the outbox in its own; the loop here owns the engine. A sample waits in its camera's slot
until the loop comes by; a newer one replaces it there.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from typing import Final

from edge.alerts.learned import CalibrationFile, Calibrations
from edge.alerts.pipeline import Pipeline
from edge.alerts.second_look.open import clip_spec, open_looks
from edge.alerts.threshold import CalibrationReport
from edge.config.models import Config
from edge.control.announce import AlertBoard
from edge.control.commands import TryAlert
from edge.control.feedback import FeedbackFile
from edge.control.retained import latest_snapshot_message
from edge.control.rollout import FEEDBACK, Admit, Rollout
from edge.control.teacher import Teacher
from edge.delivery.connection import Received
from edge.delivery.inbox import Inbox
from edge.delivery.outbox import Outbox
from edge.delivery.payloads import (
    AlertPayload,
    CalibrationRef,
    Message,
    ModelRef,
    StatePayload,
    Status,
    Topics,
    state_message,
    utc,
)
from edge.delivery.publisher import Publisher
from edge.errors import ConfigError, EngineError, InferenceError, ModelError, OutboxError
from edge.model.bundle.read import open_bundle
from edge.model.bundle.signature import read_keys, told
from edge.scoring.open import CHOICES, Models, open_models
from edge.search.index.recorder import PICTURE_WIDTH
from edge.search.open import LocalIndex, open_index
from edge.system import systemd
from edge.video.camera import CameraWorker, ThreadCamera
from edge.video.sample import Arrival

logger = logging.getLogger(__name__)

OUTBOX: Final = "outbox.db"
LEARNED: Final = "learned.db"
# How often cameras report their state, and trouble is looked for.
_TICK_S: Final = 1.0
# How often the model must prove itself. Its golden frames take as long as a few samples.
_PROOF_S: Final = 3600.0
# How often what the thresholds rest on is written down. A crash costs so much of it.
_SAVE_S: Final = 300.0
# SIGTERM must be over within 5 s: the cameras' share, and the broker's.
_CAMERAS_STOP_S: Final = 1.0
_PUBLISHER_STOP_S: Final = 3.0
# Golden section: its multiples, modulo 1, lie evenly for any number of cameras. Measured with 16
# cameras at 1 fps, arrival to the subscriber: 264 ms median and 619 ms p95 when all are sampled at
# once, 47 ms and 102 ms this way.
_SPREAD: Final = 0.618034
_HEALTHY: Final = {"streaming", "connecting", "ended"}


def run(
    config: Config,
    stop: threading.Event,
    wake: threading.Event,
    on_delivered: Callable[[Message, float], None] | None = None,
) -> None:
    """Watch the cameras until ``stop`` is set.

    Args:
        config: Checked configuration.
        stop: Ends the daemon.
        wake: Set it after ``stop``; the cameras set it for each sample.
        on_delivered: StartedAlert of each acknowledged message, as by ``Publisher``.

    Raises:
        ModelError: The bundle is not usable, or not signed by who it must be.
        EngineUnavailable: The runtime or device is not there.
        ConfigError: A prompt cannot be compiled, or a key of ``bundle_keys`` not read.
        OutboxError: There is no disk for the outbox.
    """
    with ExitStack() as stack:
        bundle = open_bundle(config.bundle, read_keys(config.bundle_keys))
        logger.info("bundle %s, %s", bundle.hash[:12], told(bundle.signed))
        models = stack.enter_context(open_models(bundle, config.engine, config.state_dir / CHOICES))
        feedback = FeedbackFile(config.state_dir / FEEDBACK, bundle.hash)
        rollout = Rollout(
            config,
            models.scoring.open_compiler,
            wake.set,
            feedback=feedback,
            teacher=Teacher(models, config.background),
        )
        outbox = stack.enter_context(closing(Outbox(config.state_dir / OUTBOX,
                                                    config.outbox.max_bytes)))  # fmt: skip
        clip = clip_spec(config)
        cameras: dict[str, CameraWorker] = {
            name: ThreadCamera(
                name,
                camera,
                bundle.manifest.image,
                config.snapshots,
                wake.set,
                index * _SPREAD % 1,
                clip_spec=clip,
            )
            for index, (name, camera) in enumerate(config.cameras.items())
        }
        looks = stack.enter_context(
            open_looks(config, models, lambda camera, sequence: cameras[camera].frame(sequence))
        )
        bank = rollout.restore(looks.prepare)
        reference = model_ref(models)
        index = stack.enter_context(
            open_index(
                config,
                bundle,
                bank.rows.shape[1],
                models.scoring.open_compiler,
                lambda camera, sequence: cameras[camera].snapshot(sequence, PICTURE_WIDTH),
            )
        )
        pipeline = Pipeline(
            config.model_copy(update={"prompts": rollout.prompts, "profile": rollout.profile}),
            reference,
            bundle.manifest.decision,
            models.scoring.scorer,
            bank,
            calibrations=Calibrations(
                CalibrationFile(config.state_dir / LEARNED), reference, config.background
            ),
            snapshot_of=lambda camera, sequence: cameras[camera].snapshot(sequence),
            second_look=looks,
            recorder=None if index is None else index.recorder,
            on_start=feedback.expect,
        )
        inbox = Inbox(*listeners(rollout, index))
        publisher = Publisher(config.mqtt, config.device.id, outbox, on_delivered, inbox=inbox)
        daemon = Daemon(config, cameras, models, pipeline, outbox, publisher, rollout, index)
        daemon.serve(stop, wake)


def listeners(
    rollout: Rollout, index: LocalIndex | None
) -> tuple[list[str], Callable[[Received], None]]:
    """What to subscribe to, and who takes what arrives."""
    if index is None:
        return rollout.filters, rollout.receive
    desk = index.desk

    def receive(received: Received) -> None:
        taker = desk if received.topic == desk.topic else rollout
        taker.receive(received)

    return [*rollout.filters, desk.topic], receive


def model_ref(models: Models) -> ModelRef:
    """What payloads say about the model."""
    bundle = models.bundle
    return ModelRef(id=bundle.manifest.model.id, hash=bundle.hash, precision=models.precision)


class Daemon:
    """The loop, and what it keeps an eye on."""

    def __init__(
        self,
        config: Config,
        cameras: dict[str, CameraWorker],
        models: Models,
        pipeline: Pipeline,
        outbox: Outbox,
        publisher: Publisher,
        rollout: Rollout,
        index: LocalIndex | None = None,
    ) -> None:
        self._rollout = rollout
        self._index = index
        self._board = AlertBoard(Topics(config.mqtt.topic_prefix, config.device.id))
        self._latest_snapshots = config.homeassistant.discovery
        self._device = config.device.id
        self._topics = Topics(config.mqtt.topic_prefix, config.device.id)
        self._cameras = cameras
        self._models = models
        self._pipeline = pipeline
        self._outbox = outbox
        self._publisher = publisher
        self._status: Status = "online"
        self._failed_samples = 0
        self._disk_error: str | None = None
        self._model_error = models.failed
        self._watchdog_s = systemd.watchdog_interval()

    def serve(self, stop: threading.Event, wake: threading.Event) -> None:
        """Start everything, loop until ``stop``, end everything with nothing lost."""
        self._rollout.start(self._publisher.publish_now)
        if self._index is not None:
            self._index.desk.start(self._publisher.publish_now)
        self._publisher.start()
        for camera in self._cameras.values():
            camera.start()
        logger.info("watching %s", ", ".join(self._cameras))
        systemd.notify("READY=1")
        next_tick, next_ping = 0.0, 0.0
        next_proof = time.monotonic() + _PROOF_S
        next_save = time.monotonic() + _SAVE_S
        while not stop.is_set():
            now = time.monotonic()
            if now >= next_tick:
                self._tick()
                next_tick = now + _TICK_S
            if self._watchdog_s is not None and now >= next_ping and self._progressing():
                systemd.notify("WATCHDOG=1")
                next_ping = now + self._watchdog_s
            if now >= next_proof:
                self._prove()
                next_proof = now + _PROOF_S
            if now >= next_save:
                self._pipeline.save()
                next_save = now + _SAVE_S
            wake.wait(max(0.0, next_tick - time.monotonic()))
            wake.clear()
            self._obey()
            self._process()
            self._show()
        self._end()

    def _obey(self) -> None:
        """Do what was told over MQTT."""
        while not self._rollout.orders.empty():
            order = self._rollout.orders.get()
            if isinstance(order, TryAlert):
                now = _now()
                self._board.test((p for p in self._pipeline.alerting() if p[1] == order.rule),
                                 now.monotonic)  # fmt: skip
                self._put(self._pipeline.try_alert(order.rule, now))
                continue
            if isinstance(order, Admit):
                self._pipeline.admit(order.camera, order.rule, order.levels)
                continue
            try:
                self._put(self._pipeline.adopt(order.prompts, order.bank))
                self._pipeline.profile = order.profile
            except (ConfigError, EngineError, ModelError) as exc:
                order.adopted.set_exception(exc)
            else:
                order.adopted.set_result(None)

    def _show(self) -> None:
        """Tell which alerts began or ended."""
        for message in self._board.changes(self._pipeline.alerting(), time.monotonic()):
            self._publisher.publish_now(message)

    def _prove(self) -> None:
        """Ask again whether the graphs answer right: memory and drivers go bad in service."""
        try:
            self._models.prove_again()
        except (EngineError, ModelError) as exc:
            self._model_error = str(exc)
            logger.error("the model no longer answers right: %s", exc)  # noqa: TRY400  expected: no traceback
        else:
            self._model_error = None

    def _process(self) -> None:
        """Bring every waiting sample through the engine, camera by camera.

        Not as one batch: on a CPU that is no faster (measured: 26, 28 and 24 ms a frame in batches
        of 1, 4 and 8), and the first camera's alert would wait for the last camera's frame.
        """
        for camera in self._cameras.values():
            sample = camera.take()
            if sample is None:
                continue
            try:
                messages = self._pipeline.process([sample])
            except InferenceError as exc:
                self._failed_samples += 1
                logger.error("sample %d dropped: %s", self._failed_samples, exc)  # noqa: TRY400  expected: no traceback
            else:
                self._put(messages)

    def _put(self, messages: Sequence[Message]) -> None:
        """Commit; only then do the messages exist. Without a disk alerts go out from memory."""
        if not messages:
            return
        try:
            self._outbox.put(messages)
        except OutboxError as exc:
            if self._disk_error is None:
                logger.error("%s; alerts go out from memory", exc)  # noqa: TRY400  expected: no traceback
            self._disk_error = str(exc)
            for message in messages:
                if message.kind == "alert":
                    self._publisher.publish_now(message)
        else:
            self._disk_error = None
            self._tell(messages)

    def _tell(self, committed: Sequence[Message]) -> None:
        """Log alerts; remember whose they are; show the newest picture of each rule."""
        whose: dict[str | None, str] = {}
        for message in committed:
            if message.kind == "alert":
                alert = AlertPayload.model_validate_json(message.payload)
                logger.info(
                    "alert %s %s: %s/%s, margin %+.3f",
                    alert.id, alert.type, alert.camera, alert.prompt.id, alert.margin,
                )  # fmt: skip
                whose[alert.snapshot] = alert.prompt.id
            elif self._latest_snapshots and message.camera and message.topic in whose:
                rule = whose[message.topic]
                self._publisher.publish_now(
                    latest_snapshot_message(self._topics, message.camera, rule, message.payload)
                )

    def _tick(self) -> None:
        """Report every camera, end the alerts of lost ones, say how the device does."""
        now = _now()
        self._put(self._pipeline.lost(now))
        # Without a connection nobody hears a status, and at its return the outage is over.
        queue = self._publisher.health().error if self._publisher.connected else None
        index = None if self._index is None else self._index.health().error
        errors = (self._disk_error, self._model_error, queue, index)
        troubled = any(error is not None for error in errors)
        for name, camera in self._cameras.items():
            health = camera.health()
            troubled = troubled or health.state not in _HEALTHY
            scene = self._pipeline.scene_of(name)
            state = StatePayload(
                device=self._device,
                camera=name,
                at=utc(now.wall),
                state=health.state,
                fps_in=round(health.fps_in, 2),
                fps_sampled=round(health.fps_sampled, 2),
                samples=health.samples,
                dropped=health.dropped,
                corrupt=health.corrupt,
                reconnects=health.reconnects,
                lag_s=self._pipeline.lag_of(name),
                error=health.error,
                scores=self._pipeline.margins_of(name),
                calibration={
                    rule: _calibration(report)
                    for rule, report in self._pipeline.calibration_of(name).items()
                },
                light=scene.light,
                view=None if scene.change is None else scene.change[0],
                view_changed_at=None if scene.change is None else utc(scene.change[1]),
            )
            self._publisher.publish_now(state_message(self._topics, state))
        status: Status = "degraded" if troubled else "online"
        if status != self._status:
            self._status = status
            self._publisher.announce(status)

    def _progressing(self) -> bool:
        """Whether every part that cannot be missed is alive: else systemd shall restart us."""
        return self._publisher.health().running and all(
            camera.health().state != "failed" for camera in self._cameras.values()
        )

    def _end(self) -> None:
        """Stop the cameras, decide what they left, end running alerts, drain, hang up."""
        systemd.notify("STOPPING=1")
        self._rollout.stop()
        logger.info("stopping")
        for camera in self._cameras.values():
            camera.stop(0.0)
        deadline = time.monotonic() + _CAMERAS_STOP_S
        for camera in self._cameras.values():
            camera.stop(max(0.0, deadline - time.monotonic()))
        self._process()
        self._put(self._pipeline.finish(_now()))
        self._show()
        self._pipeline.save()
        self._publisher.stop(_PUBLISHER_STOP_S)


def _calibration(report: CalibrationReport) -> CalibrationRef:
    estimate = report.estimate
    return CalibrationRef(
        state=report.state,
        threshold=report.threshold,
        false_alarms_per_day=report.asked,
        low=None if estimate is None else estimate.low,
        high=None if estimate is None else estimate.high,
        watched_days=None if estimate is None else estimate.watched_days,
    )


def _now() -> Arrival:
    return Arrival(wall=time.time(), monotonic=time.monotonic(), pts_s=None)
