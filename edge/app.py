"""The daemon: opens everything, then one loop from cameras to the outbox, closes in reverse.

Whoever reads this file has read the program. Cameras sample in threads of their own, the publisher
empties the outbox in its own; the loop here owns the engine. A sample waits in its camera's slot
until the loop comes by; a newer one replaces it there.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Final

from edge.alerts.learned import CalibrationFile, Calibrations
from edge.alerts.pipeline import Pipeline
from edge.alerts.second_look.open import clip_spec, open_looks
from edge.alerts.status import CameraStatus
from edge.alerts.threshold import CalibrationReport
from edge.config.models import Config
from edge.control.announce.alerting import AlertingTopics
from edge.control.announce.messages import latest_snapshot_message
from edge.control.commands import command_filters
from edge.control.desired.file import DESIRED, DesiredFile
from edge.control.desired.restore import restored
from edge.control.learning.feedback import FEEDBACK, FeedbackFile
from edge.control.learning.learner import Learning
from edge.control.learning.teacher import FeedbackTeacher
from edge.control.mailbox import Mailbox
from edge.control.orders import Admit, Adopt, Order, Orders, TryAlert
from edge.control.preparation import Preparation
from edge.control.rollout import Rollout
from edge.delivery.connection import Received
from edge.delivery.inbox import Inbox
from edge.delivery.message import Message
from edge.delivery.outbox import Outbox
from edge.delivery.payloads import (
    AlertMessage,
    CalibrationRef,
    ModelRef,
    StatePayload,
    Status,
    state_message,
    utc,
)
from edge.delivery.publisher import Publisher
from edge.delivery.topics import Topics
from edge.errors import EngineError, InferenceError, ModelError, OutboxError
from edge.model.bundle.read import open_bundle
from edge.model.bundle.signature import read_keys, told
from edge.scoring.open import CHOICES, Models, open_models
from edge.search.desk import WAITING, SearchDesk
from edge.search.index.recorder import PICTURE_WIDTH
from edge.search.index.writer import IndexWriter
from edge.search.open import open_index
from edge.system import systemd
from edge.system.workers import WorkerGroup
from edge.video.camera import CameraHealth, CameraWorker, ThreadCamera
from edge.video.sample import Arrival

logger = logging.getLogger(__name__)

OUTBOX: Final = "outbox.db"
LEARNED: Final = "learned.db"
# SIGTERM must be over within 5 s: the cameras' share, the index's and the broker's.
_CAMERAS_STOP_S: Final = 1.0
_INDEX_STOP_S: Final = 1.0
_PUBLISHER_STOP_S: Final = 3.0
# Golden section: its multiples, modulo 1, lie evenly for any number of cameras. Measured with 16
# cameras at 1 fps, arrival to the subscriber: 264 ms median and 619 ms p95 when all are sampled at
# once, 47 ms and 102 ms this way.
_SPREAD: Final = 0.618034
_HEALTHY: Final = {"streaming", "connecting", "ended"}


@dataclass(frozen=True, slots=True)
class Periods:
    """Seconds between the things that the loop does again and again.

    Attributes:
        tick_s: Between two reports of the cameras' states, and looks for trouble.
        proof_s: Between two self-tests of the model, which take as long as a few samples.
        save_s: Between two writes of what the thresholds rest on; a crash costs so much of it.
    """

    tick_s: float = 1.0
    proof_s: float = 3600.0
    save_s: float = 300.0


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
        on_delivered: Called with each acknowledged message, as by ``Publisher``.

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
        outbox = stack.enter_context(
            closing(Outbox(config.state_dir / OUTBOX, config.outbox.max_bytes))
        )
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
        feedback = FeedbackFile(config.state_dir / FEEDBACK, bundle.hash)
        desired = DesiredFile(config.state_dir / DESIRED)
        prepare = Preparation(models.scoring.open_compiler, config.background, looks)
        start = restored(config, desired, bundle.hash, prepare)
        reference = model_ref(models)
        index = open_index(
            config,
            bundle,
            start.rules.bank.rows.shape[1],
            models.scoring.open_compiler,
            lambda camera, sequence: cameras[camera].snapshot(sequence, PICTURE_WIDTH),
        )
        pipeline = Pipeline(
            config,
            reference,
            bundle.manifest.decision,
            models.scoring.scorer,
            start.rules,
            calibrations=Calibrations(
                CalibrationFile(config.state_dir / LEARNED), reference, config.background
            ),
            snapshot_of=lambda camera, sequence: cameras[camera].snapshot(sequence),
            see=looks.see,
            recorder=None if index is None else index.recorder,
            on_start=feedback.expect,
        )
        topics = Topics(config.mqtt.topic_prefix, config.device.id)
        commands, searches = Mailbox(), Mailbox("searches", WAITING)
        inbox = Inbox(*listeners(config, commands, None if index is None else searches))
        publisher = Publisher(config.mqtt, config.device.id, outbox, on_delivered, inbox=inbox)
        desk = None
        if index is not None:
            desk = SearchDesk(topics, index.answerer, searches, publisher.publish_now)
        orders = Orders(wake.set)
        rollout = Rollout(
            config,
            start,
            commands,
            file=desired,
            prepare=prepare,
            learning=Learning(feedback, FeedbackTeacher(models, config.background), config.prompts),
            orders=orders,
            in_force=lambda: pipeline.rules,
            publish=publisher.publish_now,
        )
        daemon = Daemon(
            config,
            cameras,
            models,
            pipeline,
            outbox,
            publisher,
            rollout,
            orders,
            None if index is None else index.writer,
            desk,
        )
        daemon.serve(stop, wake)


def listeners(
    config: Config, commands: Mailbox, searches: Mailbox | None
) -> tuple[list[str], Callable[[Received], None]]:
    """Topic filters to subscribe to, and the function that takes what arrives."""
    topics = Topics(config.mqtt.topic_prefix, config.device.id)
    home = config.homeassistant
    filters = command_filters(topics) + ([home.birth] if home.discovery else [])
    if searches is None:
        return filters, commands.receive

    def receive(received: Received) -> None:
        mailbox = searches if received.topic == topics.search() else commands
        mailbox.receive(received)

    return [*filters, topics.search()], receive


def model_ref(models: Models) -> ModelRef:
    """The model as payloads name it."""
    bundle = models.bundle
    return ModelRef(id=bundle.manifest.model.id, hash=bundle.hash, precision=models.precision)


class Daemon:
    """The loop and everything that it watches."""

    def __init__(  # noqa: PLR0913, PLR0917  the parts that it is put together of
        self,
        config: Config,
        cameras: dict[str, CameraWorker],
        models: Models,
        pipeline: Pipeline,
        outbox: Outbox,
        publisher: Publisher,
        rollout: Rollout,
        orders: Orders,
        index: IndexWriter | None = None,
        desk: SearchDesk | None = None,
        *,
        periods: Periods = Periods(),
    ) -> None:
        self._rollout = rollout
        self._orders = orders
        self._index = index
        self._desk = desk
        self._periods = periods
        self._topics = Topics(config.mqtt.topic_prefix, config.device.id)
        self._alerting = AlertingTopics(self._topics)
        self._latest_snapshots = config.homeassistant.discovery
        self._device = config.device.id
        self._cameras = cameras
        self._models = models
        self._pipeline = pipeline
        self._outbox = outbox
        self._publisher = publisher
        self._workers = WorkerGroup()
        self._status: Status = "online"
        self._failed_samples = 0
        self._disk_error: str | None = None
        self._model_error = models.failed
        self._watchdog_s = systemd.watchdog_interval()

    def serve(self, stop: threading.Event, wake: threading.Event) -> None:
        """Start everything, loop until ``stop``, and end everything in order, on an error too."""
        with ExitStack() as ending:
            self._start(ending)
            logger.info("watching %s", ", ".join(self._cameras))
            systemd.notify("READY=1")
            self._loop(stop, wake)

    def _start(self, ending: ExitStack) -> None:
        """Start the workers; ``ending`` runs the steps of the end, the last one added first."""
        names = [f"camera[{name}]" for name in self._cameras]
        ending.callback(self._workers.stop, ["publisher"], _PUBLISHER_STOP_S)
        ending.callback(self._workers.stop, ["search", "index"], _INDEX_STOP_S)
        ending.callback(self._wind_up)
        ending.callback(self._workers.stop, names, _CAMERAS_STOP_S)
        ending.callback(self._workers.stop, ["rollout"], 0.0)
        ending.callback(_say_stopping)
        self._workers.start("rollout", self._rollout, essential=False)
        if self._index is not None:
            self._workers.start("index", self._index, essential=False)
        if self._desk is not None:
            self._workers.start("search", self._desk, essential=False)
        self._workers.start("publisher", self._publisher, essential=True)
        for name, camera in zip(names, self._cameras.values(), strict=True):
            self._workers.start(name, camera, essential=True)

    def _loop(self, stop: threading.Event, wake: threading.Event) -> None:
        periods = self._periods
        next_tick, next_ping = 0.0, 0.0
        next_proof = time.monotonic() + periods.proof_s
        next_save = time.monotonic() + periods.save_s
        while not stop.is_set():
            now = time.monotonic()
            if now >= next_tick:
                self._tick()
                next_tick = now + periods.tick_s
            if self._watchdog_s is not None and now >= next_ping and self._workers.progressing:
                systemd.notify("WATCHDOG=1")
                next_ping = now + self._watchdog_s
            if now >= next_proof:
                self._prove()
                next_proof = now + periods.proof_s
            if now >= next_save:
                self._pipeline.save()
                next_save = now + periods.save_s
            wake.wait(max(0.0, next_tick - time.monotonic()))
            wake.clear()
            self._obey()
            self._process()
            self._show()

    def _obey(self) -> None:
        """Carry out the orders of the rollout."""
        for order, future in self._orders.take():
            self._put(self._carried_out(order))
            future.set_result(None)

    def _carried_out(self, order: Order) -> list[Message]:
        match order:
            case Adopt(rules):
                return self._pipeline.adopt(rules)
            case Admit(camera, rule, levels):
                self._pipeline.admit(camera, rule, levels)
                return []
            case TryAlert(rule):
                now = _now()
                pairs = [pair for pair in self._pipeline.alerting() if pair[1] == rule]
                self._alerting.test(pairs, now.monotonic)
                return self._pipeline.try_alert(rule, now)

    def _show(self) -> None:
        """Publish which alerts began or ended."""
        for message in self._alerting.changes(self._pipeline.alerting(), time.monotonic()):
            self._publisher.publish_now(message)

    def _prove(self) -> None:
        """Run the self-test again: memory and drivers go bad in service."""
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
                messages = self._pipeline.process(sample)
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
            self._log(messages)

    def _log(self, committed: Sequence[Message]) -> None:
        """Log alerts, and publish the newest picture of each rule."""
        rules: dict[str | None, str] = {}
        for message in committed:
            if isinstance(message, AlertMessage):
                alert = message.alert
                logger.info(
                    "alert %s %s: %s/%s, margin %+.3f",
                    alert.id, alert.type, alert.camera, alert.prompt.id, alert.margin,
                )  # fmt: skip
                rules[alert.snapshot] = alert.prompt.id
            elif self._latest_snapshots and message.camera and message.topic in rules:
                rule = rules[message.topic]
                self._publisher.publish_now(
                    latest_snapshot_message(self._topics, message.camera, rule, message.payload)
                )

    def _tick(self) -> None:
        """Publish the state of every camera and of the device; end the alerts of lost cameras."""
        now = _now()
        self._put(self._pipeline.lost(now))
        # Without a connection nobody hears a status, and at its return the outage is over.
        queue = self._publisher.health().error if self._publisher.connected else None
        index = None if self._index is None else self._index.health().error
        errors = (self._disk_error, self._model_error, queue, index)
        troubled = bool(self._workers.failed()) or any(error is not None for error in errors)
        for name, camera in self._cameras.items():
            health = camera.health()
            troubled = troubled or health.state not in _HEALTHY
            state = camera_state(self._device, name, now, health, self._pipeline.status(name))
            self._publisher.publish_now(state_message(self._topics, state))
        status: Status = "degraded" if troubled else "online"
        if status != self._status:
            self._status = status
            self._publisher.announce(status)

    def _wind_up(self) -> None:
        """Decide what the cameras left, end running alerts, and save."""
        self._process()
        self._put(self._pipeline.finish(_now()))
        self._show()
        self._pipeline.save()


def camera_state(
    device: str, camera: str, now: Arrival, health: CameraHealth, status: CameraStatus
) -> StatePayload:
    """State of a camera as its payload."""
    change = status.view_change
    return StatePayload(
        device=device,
        camera=camera,
        at=utc(now.wall),
        state=health.state,
        fps_in=round(health.fps_in, 2),
        fps_sampled=round(health.fps_sampled, 2),
        samples=health.samples,
        dropped=health.dropped,
        corrupt=health.corrupt,
        reconnects=health.reconnects,
        lag_s=status.lag_s,
        error=health.error,
        scores=dict(status.margins),
        calibration={rule: _calibration(report) for rule, report in status.calibration.items()},
        light=status.light,
        view=None if change is None else change[0],
        view_changed_at=None if change is None else utc(change[1]),
    )


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


def _say_stopping() -> None:
    systemd.notify("STOPPING=1")
    logger.info("stopping")


def _now() -> Arrival:
    return Arrival(wall=time.time(), monotonic=time.monotonic(), pts_s=None)
