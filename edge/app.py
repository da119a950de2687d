"""Runs the daemon: opens its resources, then one loop from the cameras to the outbox.

``edge.resources`` opens them and closes them in reverse. Cameras sample in threads of their own,
and the publisher empties the outbox in its own; the loop here owns the engine. A sample waits
in its camera's slot until the loop comes by; a newer one replaces it there.
"""

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from edge import __version__
from edge.alerts.rule_set import RuleSet
from edge.alerts.status import camera_state
from edge.config.models import CameraConfig, Config
from edge.control.announce.alerting import AlertingTopics
from edge.control.announce.machine import engine_ref, power_ref
from edge.control.announce.messages import latest_snapshot_message
from edge.control.orders import Adopt, Order, RateAlert, TakeOver, TryAlert
from edge.control.reload import Reload
from edge.delivery.device_state import (
    DeviceStatePayload,
    device_state,
    device_state_message,
)
from edge.delivery.message import Message
from edge.delivery.payloads import (
    AlertMessage,
    Status,
    state_message,
)
from edge.delivery.publisher import PublisherHealth
from edge.errors import EngineError, InferenceError, ModelError, OutboxError
from edge.resources import Resources, open_resources
from edge.system import systemd
from edge.system.backoff import WORKER, Backoff
from edge.system.ending import Ended, Stop
from edge.system.health import DaemonHealth
from edge.system.memory import give_back
from edge.system.workers import WorkerGroup
from edge.video.sample import Arrival

logger = logging.getLogger(__name__)

# The daemon must end within 5 s of SIGTERM. Its own end takes at most these seconds from the signal
# on, and each step at most its share of what is left of them. ``edge.system.ending`` has the rest.
_END_S: Final = 3.0
_CAMERAS_STOP_S: Final = 1.0
_SAMPLES_S: Final = 1.5  # before the end, no further sample is begun
_FILES_STOP_S: Final = 1.0  # index and side files
_PUBLISHER_STOP_S: Final = 2.0
# Left for the threads that compile sentences, when everything else has ended. They were asked
# before; what they leave undone is begun again at the next start.
_COMPILERS_STOP_S: Final = 0.5
_COMPILERS: Final = ("rollout", "search", "engines")
_HEALTHY: Final = {"streaming", "connecting", "ended"}


@dataclass(frozen=True, slots=True)
class Periods:
    """Periods of what the loop does again and again, in seconds.

    Attributes:
        tick_s: Seconds between two publications of the states of cameras and device.
        proof_s: Seconds between two self-tests of the model, each of which takes as long as a few
            samples.
        save_s: Seconds between two writes of what the thresholds rest on; a crash loses at most
            this much learning.
        trim_s: Seconds between two times that free memory is given back to the system.
    """

    tick_s: float = 1.0
    proof_s: float = 3600.0
    save_s: float = 300.0
    trim_s: float = 60.0


def run(
    config: Config,
    stop: Stop,
    wake: threading.Event,
    on_delivered: Callable[[Message, float], None] | None = None,
    reload: Reload | None = None,
) -> None:
    """Watch the cameras until ``stop`` is set.

    Args:
        config: Checked configuration.
        stop: Ends the daemon when it is set.
        wake: Wakes the loop: set it after ``stop``; the cameras set it for each sample.
        on_delivered: Called with each acknowledged message, as by ``Publisher``.
        reload: Asks for the configuration to be read again; by default nobody does.

    Raises:
        ModelError: The bundle is not usable, or not signed by one of ``bundle_keys``.
        EngineUnavailable: The runtime or device is not there.
        ConfigError: A prompt cannot be compiled, or a key of ``bundle_keys`` cannot be read.
        OutboxError: There is no disk for the outbox.
    """
    try:
        with ExitStack() as stack:
            resources = open_resources(config, stack, stop, wake.set, on_delivered, reload)
            Daemon(config, resources).serve(stop, wake)
    except Ended:
        logger.info("asked to end before the start was done")


class Daemon:
    """The loop, and the workers that it starts and watches.

    Args:
        config: Checked configuration.
        resources: Opened resources.
        periods: Periods of the loop.
        retry: Delays before a worker that has failed is started again.
    """

    def __init__(
        self,
        config: Config,
        resources: Resources,
        *,
        periods: Periods = Periods(),
        retry: Backoff = WORKER,
    ) -> None:
        self._rollout = resources.rollout
        self._orders = resources.orders
        self._index = resources.index
        self._desk = resources.desk
        self._keeper = resources.keeper
        self._cameras = resources.cameras
        self._open_camera = resources.open_camera
        self._models = resources.models
        self._build = resources.build
        self._pipeline = resources.pipeline
        self._outbox = resources.outbox
        self._publisher = resources.publisher
        self._topics = resources.topics
        self._periods = periods
        self._alerting = AlertingTopics(resources.topics)
        self._latest_snapshots = config.homeassistant.discovery
        self._workers = WorkerGroup(retry)
        self._status: Status = "online"
        self._failed_samples = 0
        self._defects: dict[str, str] = {}  # by the part that meets it
        self._disk_error: str | None = None
        self._model_error = resources.models.failed
        self._proven_at = time.monotonic() if resources.models.proven else None
        self._health = resources.health
        self._began = time.monotonic()
        self._watchdog_s = systemd.watchdog_interval()
        self._next_ping = 0.0
        self._ends_at = math.inf

    def serve(self, stop: Stop, wake: threading.Event) -> None:
        """Start everything, loop until ``stop``, and end everything in order, also on an error."""
        with ExitStack() as ending:
            self._start(stop, ending)
            logger.info("watching %s", ", ".join(self._cameras))
            systemd.notify("READY=1")
            self._loop(stop, wake)

    def _start(self, stop: Stop, ending: ExitStack) -> None:
        """Start the workers, and put the steps of the end on ``ending``, which reverses them."""
        names = [f"camera[{name}]" for name in self._cameras]
        ending.callback(self._end, _COMPILERS, _COMPILERS_STOP_S)
        ending.callback(self._end, ["publisher"], _PUBLISHER_STOP_S, _COMPILERS_STOP_S)
        ending.callback(self._end, ["index", "keeper"], _FILES_STOP_S)
        ending.callback(self._wind_up)
        ending.callback(self._end_cameras)
        ending.callback(self._workers.ask, _COMPILERS)
        ending.callback(self._begin_end, stop)
        self._workers.start("rollout", self._rollout, essential=False)
        if self._index is not None:
            self._workers.start("index", self._index, essential=False)
        if self._desk is not None:
            self._workers.start("search", self._desk, essential=False)
        if self._build is not None:
            self._workers.start("engines", self._build, essential=False)
        self._workers.start("keeper", self._keeper, essential=False)
        self._end_interrupted()
        self._workers.start("publisher", self._publisher, essential=True)
        for name, camera in zip(names, self._cameras.values(), strict=True):
            self._workers.start(name, camera, essential=False)

    def _end_interrupted(self) -> None:
        """End the alerts that a crash has interrupted; one that goes on begins as a new alert."""
        try:
            self._put(self._outbox.interrupted())
        except OutboxError as exc:
            logger.error("%s; alerts that a crash interrupted end at a later start", exc)  # noqa: TRY400  expected: no traceback

    def _loop(self, stop: Stop, wake: threading.Event) -> None:
        periods = self._periods
        next_tick = 0.0
        next_proof = time.monotonic() + periods.proof_s
        next_save = time.monotonic() + periods.save_s
        next_trim = time.monotonic() + periods.trim_s
        while not stop.is_set():
            now = time.monotonic()
            if now >= next_tick:
                self._tick()
                next_tick = now + periods.tick_s
            self._ping()
            if now >= next_proof:
                self._prove()
                next_proof = now + periods.proof_s
            if now >= next_save:
                self._pipeline.save()
                next_save = now + periods.save_s
            if now >= next_trim:
                give_back()
                next_trim = now + periods.trim_s
            wake.wait(max(0.0, next_tick - time.monotonic()))
            wake.clear()
            self._obey()
            self._process(stop.is_set)
            self._show()

    def _ping(self) -> None:
        """Say to the watchdog that the loop goes on, where it is time to."""
        now = time.monotonic()
        if self._watchdog_s is not None and now >= self._next_ping and self._workers.progressing:
            systemd.notify("WATCHDOG=1")
            self._next_ping = now + self._watchdog_s

    def _obey(self) -> None:
        """Carry out the orders of the rollout."""
        for order, future in self._orders.take():
            before, watched = self._pipeline.rules, self._pipeline.camera_settings
            try:
                messages = self._carried_out(order)
            except Exception as exc:
                logger.exception("an order of the rollout failed; the rules are those of before")
                changed = self._pipeline.camera_settings is not watched
                self._put(self._adopted(before, watched if changed else None))
                future.set_exception(exc)
            else:
                self._put(messages)
                future.set_result(None)

    def _carried_out(self, order: Order) -> list[Message]:
        match order:
            case Adopt(rules, cameras):
                return self._adopted(rules, cameras)
            case RateAlert(alert, correct):
                self._pipeline.rate(alert, correct=correct)
                return []
            case TakeOver(graphs):
                self._models.take_over(graphs)
                return []
            case TryAlert(rule):
                now = _now()
                pairs = [pair for pair in self._pipeline.alerting() if pair[1] == rule]
                self._alerting.test(pairs, now.monotonic)
                return self._pipeline.try_alert(rule, now)

    def _adopted(self, rules: RuleSet, cameras: Mapping[str, CameraConfig] | None) -> list[Message]:
        """Go on with other rules and cameras; no camera that stays as it was is touched.

        A camera that goes is asked to end, and not waited for.
        """
        watched = self._pipeline.camera_settings
        messages = self._pipeline.adopt(rules, cameras)
        if cameras is None:
            return messages
        for name in list(self._cameras):
            if name in cameras and watched[name].same_stream(cameras[name]):
                continue
            self._workers.stop([f"camera[{name}]"], 0.0)
            self._defects.pop(f"camera[{name}]", None)
            del self._cameras[name]
        for name, settings in cameras.items():
            if name not in self._cameras:
                self._cameras[name] = self._open_camera(name, settings)
                self._workers.start(f"camera[{name}]", self._cameras[name], essential=False)
        logger.info("watching %s", ", ".join(self._cameras))
        return messages

    def _show(self) -> None:
        """Publish which alerts began or ended."""
        for message in self._alerting.changes(self._pipeline.alerting(), time.monotonic()):
            self._publisher.publish_now(message)

    def _prove(self) -> None:
        """Run the self-test again, because memory and drivers can fail in service."""
        try:
            self._models.prove_again()
        except (EngineError, ModelError) as exc:
            self._model_error = str(exc)
            self._proven_at = None
            logger.error("the model no longer answers right: %s", exc)  # noqa: TRY400  expected: no traceback
        except Ended:
            logger.debug("a self-test of the model is given up, as asked")
        else:
            self._model_error = None
            self._proven_at = time.monotonic() if self._models.proven else None

    def _process(self, enough: Callable[[], bool]) -> None:
        """Bring every waiting sample through the pipeline, camera by camera, until ``enough``.

        One batch of all samples would be no faster on a CPU (measured: 26, 28 and 24 ms a frame in
        batches of 1, 4 and 8), and the first camera's alert would wait for the last camera's frame.
        """
        for name, camera in self._cameras.items():
            sample = None if enough() else camera.take()
            if sample is None:
                continue
            try:
                messages = self._pipeline.process(sample)
            except InferenceError as exc:
                self._failed_samples += 1
                logger.error("sample %d dropped: %s", self._failed_samples, exc)  # noqa: TRY400  expected: no traceback
            except Exception as exc:  # noqa: BLE001  a defect costs the camera that meets it a sample
                self._note_defect(f"camera[{name}]", exc)
            else:
                self._defects.pop(f"camera[{name}]", None)
                self._put(messages)
                self._pipeline.pass_on()
            self._ping()  # many cameras on a slow disk take longer than the watchdog waits

    def _note_defect(self, part: str, error: Exception) -> None:
        """Report what nobody expected; log it, with its traceback, when it changes."""
        text = f"{type(error).__name__}: {error}"
        if self._defects.get(part) != text:
            logger.error("%s: samples are lost: %s", part, text, exc_info=error)
        self._defects[part] = text

    def _put(self, messages: Sequence[Message]) -> None:
        """Commit messages to the outbox; without a disk, publish the alerts from memory."""
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
            self._outbox.lose(message for message in messages if message.kind != "alert")
        else:
            self._disk_error = None
            self._log(messages)

    def _log(self, committed: Sequence[Message]) -> None:
        """Log alerts, and publish the picture of each rule's newest alert."""
        rules: dict[str | None, str] = {}
        for message in committed:
            if isinstance(message, AlertMessage):
                alert = message.alert
                logger.info(
                    "alert %s %s: %s/%s, margin %+.3f",
                    alert.id, alert.type, alert.camera, alert.prompt.id, alert.margin,
                    extra={"camera": alert.camera, "rule": alert.prompt.id, "alert": alert.id},
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
        self._workers.tend()
        self._pipeline.catch_up()
        self._put(self._pipeline.lost(now))
        publisher = self._publisher.health()
        errors = self._errors(publisher)
        troubled = bool(errors)
        states: dict[str, str] = {}
        for name, camera in self._cameras.items():
            health = camera.health()
            states[name] = health.state
            troubled = troubled or health.state not in _HEALTHY
            state = camera_state(
                self._topics.device, name, now, health, self._pipeline.status(name)
            )
            self._publisher.publish_now(state_message(self._topics, state))
        delivery = device_state(
            self._topics.device, now.wall, self._outbox, publisher, errors,
            engine_ref(self._models, self._build), power_ref(),
        )  # fmt: skip
        self._publisher.publish_now(device_state_message(self._topics, delivery))
        status: Status = "degraded" if troubled else "online"
        if status != self._status:
            self._status = status
            self._publisher.announce(status)
        if self._outbox.error is None:
            self._disk_error = None
        if self._health is not None:
            self._health.answer(lambda: self._healthy(states, delivery))

    def _healthy(self, cameras: dict[str, str], state: DeviceStatePayload) -> DaemonHealth:
        """Say whether the model is proven and the loop has the workers that it needs."""
        now = time.monotonic()
        problem = None
        if self._proven_at is None:
            problem = (
                f"the model is not proven: {self._model_error or 'engine null proves nothing'}"
            )
        elif not self._workers.progressing:
            problem = f"an error has ended {', '.join(self._workers.failed())}"
        return DaemonHealth(
            healthy=problem is None,
            problem=problem,
            version=__version__,
            pid=os.getpid(),
            uptime_s=round(now - self._began, 1),
            model=self._models.used,
            proven_s=None if self._proven_at is None else round(now - self._proven_at, 1),
            connected=self._publisher.connected,
            cameras=cameras,
            state=state.model_dump(mode="json"),
        )

    def _errors(self, publisher: PublisherHealth) -> dict[str, str]:
        """Return what is wrong with the parts of the device, cameras apart, by name."""
        errors = {
            "outbox": self._disk_error or self._outbox.error,
            "model": self._model_error,
            # Without a connection nobody receives a status; when it returns the outage is over.
            "publisher": publisher.error if self._publisher.connected else None,
            "config": self._rollout.file_error,
            "index": None if self._index is None else self._index.health().error,
        }
        failed = dict.fromkeys(self._workers.failed(), "an error has ended it: see the log")
        found = {name: error for name, error in errors.items() if error is not None}
        found |= {f"prompt {name}": why for name, why in self._pipeline.rules.set_aside.items()}
        return found | self._defects | self._keeper.errors() | failed

    def _begin_end(self, stop: Stop) -> None:
        systemd.notify("STOPPING=1")
        logger.info("stopping")
        since = time.monotonic() if stop.since is None else stop.since
        self._ends_at = since + _END_S

    def _end(self, names: Iterable[str], share_s: float, reserve_s: float = 0.0) -> None:
        """Stop workers within their share of the time that is left, less a reserve for others."""
        left_s = self._ends_at - time.monotonic() - reserve_s
        self._workers.stop(names, max(0.0, min(share_s, left_s)))

    def _end_cameras(self) -> None:
        self._end([f"camera[{name}]" for name in self._cameras], _CAMERAS_STOP_S)

    def _wind_up(self) -> None:
        """Process the last samples while there is time, end running alerts, and save."""
        until = self._ends_at - _SAMPLES_S
        self._process(lambda: time.monotonic() > until)
        self._put(self._pipeline.finish(_now()))
        self._show()
        self._pipeline.save()


def _now() -> Arrival:
    return Arrival(wall=time.time(), monotonic=time.monotonic(), pts_s=None)
