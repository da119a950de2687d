"""Turns the samples of all cameras into messages: score, weigh, decide, report.

Everything between the cameras and the outbox happens here, one sample at a time.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from edge.alerts.conditions import Conditions, alike, is_on
from edge.alerts.confirmed import confirmed
from edge.alerts.events import Rule
from edge.alerts.learned import Calibrations
from edge.alerts.messages import (
    Recorder,
    Reporter,
    SnapshotOf,
    StartedAlert,
    no_snapshots,
    nobody,
)
from edge.alerts.rule_set import RuleSet
from edge.alerts.scene.light import Word
from edge.alerts.scene.scene import Scene
from edge.alerts.status import CameraStatus
from edge.alerts.threshold import EVERYWHERE
from edge.alerts.watch import Happening, Watch, WatchedRule, Weighed
from edge.config.models import CameraConfig, Config
from edge.delivery.message import Message
from edge.delivery.payloads import ModelRef
from edge.model.bundle.manifest import Decision
from edge.rules.plan import plan
from edge.scoring.scorers.base import Scored, Scorer
from edge.system.time_zone import zone_of
from edge.video.sample import Arrival, Sample

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Camera:
    watch: Watch
    scene: Scene
    lag_s: float | None = None
    weighed: tuple[int, bool] = (-2, False)  # sequence of the last one, and whether a heartbeat
    still: bool = False  # whether nothing moved between it and the sample before

    def weigh(self, sample: Sample) -> None:
        """Take the next sample that the rules see.

        A heartbeat says that nothing moved before it, nor after it until the next sample, which
        comes as soon as something moves. Where a sample was lost in between, or the stream was
        interrupted, nobody knows.
        """
        sequence, heartbeat = self.weighed
        self.weighed = sample.sequence, sample.heartbeat
        in_a_row = sample.sequence == sequence + 1 and not sample.after_break
        self.still = in_a_row and (sample.heartbeat or heartbeat)


class Pipeline:
    """State of every camera between its samples and its messages. Only one thread may use it.

    Args:
        config: Cameras and what to publish.
        model: Model that computes the scores, as payloads name it.
        decision: The bundle's defaults for rules that set none of their own.
        scorer: Turns samples into cosines.
        rules: Rules to begin with; ``adopt`` replaces them.
        calibrations: Origin of thresholds; by default learned anew and not kept.
        snapshot_of: Gives the picture of an alert.
        see: Called with each sample before it is scored, for a second look that needs the past.
        recorder: Keeps samples for the search; by default nothing does.
        on_start: Called with each alert that has started, by ``pass_on``.

    Raises:
        ConfigError: The box's own time zone is not known.

    Attributes:
        rules: Rules in force.
        camera_settings: Settings of the cameras, by name.
    """

    def __init__(  # noqa: PLR0913  the parts that it is put together of
        self,
        config: Config,
        model: ModelRef,
        decision: Decision,
        scorer: Scorer,
        rules: RuleSet,
        *,
        calibrations: Calibrations | None = None,
        snapshot_of: SnapshotOf = no_snapshots,
        see: Callable[[Sample], None] = lambda _sample: None,
        recorder: Recorder | None = None,
        on_start: Callable[[StartedAlert], None] = nobody,
    ) -> None:
        self.rules = rules
        self._zone = zone_of(config.timezone)
        self.camera_settings: Mapping[str, CameraConfig] = dict(config.cameras)
        self._decision = decision
        self._calibrations = calibrations or Calibrations(None, model, config.background)
        self._see = see
        self._scorer = scorer
        self._reporter = Reporter(config, model, snapshot_of, recorder, on_start)
        self._cameras = {name: self._begun(name) for name in self.camera_settings}

    def adopt(
        self, rules: RuleSet, cameras: Mapping[str, CameraConfig] | None = None
    ) -> list[Message]:
        """Go on with other rules and cameras, between two samples: none is scored against half.

        A rule that stays as it was, except for when it is on, keeps its alert and what it learned.
        The alert of a rule that goes or changes ends. A change that does not touch what a rule sees
        (such as the false alarms asked for) finds on disk what the rule learned. The
        alerts of a camera that goes, or whose stream changes, end too; the others notice nothing.

        Args:
            rules: The rules.
            cameras: Settings of the cameras; None: as before.

        Returns:
            The ends of alerts.
        """
        self.save()
        before, self.rules = self.rules, rules
        now = Arrival.now()
        messages = [] if cameras is None else self._exchange(cameras, now)
        for name, camera in self._cameras.items():
            wanted = rules.watching(self.camera_settings[name])
            for rule in list(camera.watch.rules):
                if rule not in wanted or not alike(before.prompts[rule], rules.prompts[rule]):
                    messages += self._reporter.alerts(name, camera.watch.drop(rule, now))
                    self._calibrations.drop(name, rule)
            for rule in wanted:
                if rule not in camera.watch.rules:
                    camera.watch.rules[rule] = self._watched(name, rule)
        return messages

    def process(self, sample: Sample) -> list[Message]:
        """Take one sample of a camera. The caller commits the messages, then calls ``pass_on``.

        The four steps are public so that ``edge-bench`` can time each.

        Returns:
            Messages to publish, in order.

        Raises:
            InferenceError: The engine failed; the sample is lost.
        """
        self._see(sample)
        scored = self.score(sample)
        if scored is None:
            return []
        weighed = self.weigh(sample, scored)
        return self.report(sample, scored, self.decide(sample, weighed))

    def score(self, sample: Sample) -> Scored | None:
        """Run the model on one sample; None where the model needs more frames first.

        Raises:
            InferenceError: The engine failed; the sample is lost.
        """
        (scored,) = self._scorer.score([sample], self.rules.bank)
        return scored

    def weigh(self, sample: Sample, scored: Scored) -> Weighed:
        """Compute the margins of the camera's rules, pooled where a rule asks for it."""
        camera = self._cameras[sample.camera]
        camera.weigh(sample)
        return camera.watch.weigh(self.rules.bank, scored, sample.arrival, still=camera.still)

    def decide(self, sample: Sample, weighed: Weighed) -> list[Happening]:
        """Step the camera's rules that are on, and return what happened."""
        camera = self._cameras[sample.camera]
        watch, at = camera.watch, sample.arrival
        light = self._look_around(sample, still=camera.still)
        happenings = watch.switch(self._on(watch.rules, light, at), at)
        happenings += watch.step(
            self.rules.bank, weighed, at, light or EVERYWHERE, still=camera.still
        )
        return confirmed(happenings, sample, self.rules, watch)

    def report(
        self, sample: Sample, scored: Scored, happenings: Iterable[Happening]
    ) -> list[Message]:
        """Write what happened, and the embedding where it is wanted, as messages."""
        camera = self._cameras[sample.camera]
        messages = self._reporter.sample(
            sample, list(happenings), scored.embedding, alerting=camera.watch.alerting
        )
        camera.lag_s = max(0.0, time.monotonic() - sample.arrival.monotonic)
        return messages

    def pass_on(self) -> None:
        """Pass the last samples and alerts on to the recorder and to ``on_start``."""
        self._reporter.pass_on()

    def catch_up(self) -> None:
        """Take in what was learned before, once its file can be read."""
        self._calibrations.catch_up()

    def lost(self, now: Arrival) -> list[Message]:
        """End the alerts of cameras that have been silent for long."""
        return [
            message
            for name, camera in self._cameras.items()
            for message in self._reporter.alerts(name, camera.watch.lost(now))
        ]

    def finish(self, now: Arrival) -> list[Message]:
        """End all alerts, because the daemon stops."""
        return [
            message
            for name, camera in self._cameras.items()
            for message in self._reporter.alerts(name, camera.watch.finish(now))
        ]

    def save(self) -> None:
        """Have what the thresholds rest on written to disk; return at once."""
        self._calibrations.save()

    def rate(self, alert: StartedAlert, *, correct: bool) -> None:
        """Learn from what a person said of an alert: a false one is ordinary, a right one not."""
        self._calibrations.rate(alert, correct=correct)

    def status(self, camera: str) -> CameraStatus:
        """Status of one camera."""
        own = self._cameras[camera]
        return CameraStatus(
            lag_s=own.lag_s,
            margins=own.watch.margins,
            calibration={name: rule.calibration.report() for name, rule in own.watch.rules.items()},
            visits={name: rule.visits.rates() for name, rule in own.watch.rules.items()},
            light=own.scene.light,
            view_change=own.scene.change,
        )

    def alerting(self) -> dict[tuple[str, str], bool]:
        """Whether an alert runs, for each camera and each rule assigned to it, enabled or not."""
        watched = {name: camera.watch.rules for name, camera in self._cameras.items()}
        return {
            (name, rule): rule in watched[name] and watched[name][rule].machine.alerting
            for name, camera in self.camera_settings.items()
            for rule in self.rules.assigned(camera)
        }

    def try_alert(self, rule: str, now: Arrival) -> list[Message]:
        """Make a test alert, start and end, on each camera that ``rule`` watches."""
        return [
            message
            for name, camera in self._cameras.items()
            if rule in camera.watch.rules
            for message in self._reporter.tested(name, rule, camera.watch.rules[rule], now)
        ]

    def _exchange(self, cameras: Mapping[str, CameraConfig], now: Arrival) -> list[Message]:
        """Forget cameras that go or change, begin those that come; return the ends of alerts."""
        messages = []
        for name, camera in list(self._cameras.items()):
            if name in cameras and self.camera_settings[name].same_stream(cameras[name]):
                continue
            for rule in list(camera.watch.rules):
                messages += self._reporter.alerts(name, camera.watch.drop(rule, now))
                self._calibrations.drop(name, rule)
            del self._cameras[name]
        self.camera_settings = dict(cameras)
        for name in cameras:
            if name not in self._cameras:
                self._cameras[name] = self._begun(name)
        return messages

    def _begun(self, name: str) -> _Camera:
        watching = self.rules.watching(self.camera_settings[name])
        rules = {rule: self._watched(name, rule) for rule in watching}
        return _Camera(Watch(rules), self._calibrations.scene(name))

    def _watched(self, camera: str, name: str) -> WatchedRule:
        prompt, settings = self.rules.prompts[name], self.camera_settings[camera]
        fps, idle = settings.sample.fps, settings.sample.idle if settings.gate else None
        rule = Rule.of(prompt, self._decision, fps, idle)
        return WatchedRule(
            plan(name, prompt),
            rule,
            self._calibrations.calibration(camera, name, prompt, rule, fps, self._zone),
            base=self._decision.threshold,
            pool=prompt.pool,
            visits=self._calibrations.visits(camera, name),
        )

    def _on(self, names: Iterable[str], light: Word | None, at: Arrival) -> set[str]:
        """Names of the rules that are on."""
        moment = datetime.fromtimestamp(at.wall, self._zone)
        now = Conditions(moment, light, self.rules.profile)
        return {name for name in names if is_on(self.rules.prompts[name], now)}

    def _look_around(self, sample: Sample, *, still: bool) -> Word | None:
        """Update the scene; return its light, which is the regime (docs/adr/0015-regimes.md).

        What was learned of another view says nothing about the present one.
        """
        scene = self._cameras[sample.camera].scene
        changed = scene.step(sample.pixels, sample.arrival, still=still)
        if changed is not None:
            words = "sees something else" if changed.kind == "moved" else "sees nothing any more"
            logger.warning(
                "camera %s %s (similarity %.2f)", sample.camera, words, changed.similarity,
                extra={"camera": sample.camera},
            )  # fmt: skip
            if changed.kind == "moved":
                self._calibrations.forget(sample.camera)
        return scene.light
