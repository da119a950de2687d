"""Runs the daemon: opens its resources, then one loop from the cameras to the outbox.

``edge.resources`` opens them and closes them in reverse. Cameras sample in processes of their own,
and the publisher empties the outbox in a thread; the loop here owns the engine. A sample waits
in its camera's slot until the loop comes by; a newer one replaces it there. ``edge.daemon`` starts
and ends the threads, carries out orders, and says how all of it does.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from edge.config.models import Config
from edge.control.announce.alerting import AlertingTopics
from edge.control.announce.messages import latest_snapshot_message
from edge.control.reload import Reload
from edge.daemon.crew import Crew, worker_of
from edge.daemon.defects import Defects
from edge.daemon.obedience import Obedience
from edge.daemon.proof import ModelProof
from edge.daemon.reports import Reports
from edge.delivery.message import Message
from edge.delivery.payloads import AlertMessage
from edge.errors import InferenceError, OutboxError
from edge.resources import Resources, open_resources
from edge.system import systemd
from edge.system.backoff import WORKER, Backoff
from edge.system.ending import Ended, Stop
from edge.system.memory import give_back
from edge.video.sample import Arrival

logger = logging.getLogger(__name__)


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
        self._cameras = resources.cameras
        self._pipeline = resources.pipeline
        self._outbox = resources.outbox
        self._publisher = resources.publisher
        self._topics = resources.topics
        self._periods = periods
        self._latest_snapshots = config.homeassistant.discovery
        self._failed_samples = 0
        self._disk_error: str | None = None
        self._alerting = AlertingTopics(resources.topics)
        self._to_show = True
        self._defects = Defects()
        self._proof = ModelProof(resources.models)
        self._crew = Crew(resources, retry)
        self._obedience = Obedience(resources, self._crew, self._alerting, self._defects, self._put)
        self._reports = Reports(resources, self._crew, self._proof, self._defects)
        self._watchdog_s = systemd.watchdog_interval()
        self._next_ping = 0.0

    def serve(self, stop: Stop, wake: threading.Event) -> None:
        """Start everything, loop until ``stop``, and end everything in order, also on an error."""
        with ExitStack() as ending:
            self._end_interrupted()
            self._crew.start(stop, ending, self._wind_up)
            systemd.notify("READY=1")
            self._loop(stop, wake)

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
                self._proof.renew()
                next_proof = now + periods.proof_s
            if now >= next_save:
                self._pipeline.save()
                next_save = now + periods.save_s
            if now >= next_trim:
                give_back()
                next_trim = now + periods.trim_s
            wake.wait(max(0.0, next_tick - time.monotonic()))
            wake.clear()
            if self._obedience.obey():
                self._to_show = True
            self._process(stop.is_set)
            if self._to_show:
                self._show()

    def _ping(self) -> None:
        """Say to the watchdog that the loop goes on, where it is time to."""
        now = time.monotonic()
        if (
            self._watchdog_s is not None
            and now >= self._next_ping
            and self._crew.workers.progressing
        ):
            systemd.notify("WATCHDOG=1")
            self._next_ping = now + self._watchdog_s

    def _show(self) -> None:
        """Publish which alerts began or ended."""
        self._to_show = False
        for message in self._alerting.changes(self._pipeline.alerting(), time.monotonic()):
            self._publisher.publish_now(message)

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
                self._defects.note(worker_of(name), exc)
            else:
                self._defects.over(worker_of(name))
                self._put(messages)
                self._pipeline.pass_on()
            self._ping()  # many cameras on a slow disk take longer than the watchdog waits

    def _put(self, messages: Sequence[Message]) -> None:
        """Commit messages to the outbox; without a disk, publish the alerts from memory.

        Embeddings alone are not worth a commit of their own.
        """
        if not messages:
            return
        embeddings = all(message.kind == "embedding" for message in messages)
        self._to_show = self._to_show or not embeddings
        try:
            (self._outbox.put_later if embeddings else self._outbox.put)(messages)
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
        """End the alerts of lost cameras; say how cameras and device do."""
        now = Arrival.now()
        self._crew.workers.tend()
        self._pipeline.catch_up()
        self._put(self._pipeline.lost(now))
        self._to_show = True  # a test alert may be over
        self._reports.publish(now, self._disk_error)
        if self._outbox.error is None:
            self._disk_error = None

    def _wind_up(self, until: float) -> None:
        """Process the last samples while there is time, end running alerts, and save."""
        self._process(lambda: time.monotonic() > until)
        self._put(self._pipeline.finish(Arrival.now()))
        self._show()
        self._pipeline.save()
