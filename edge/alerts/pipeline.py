"""Samples to messages: score, weigh, decide, report. Everything between cameras and the outbox."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from edge.alerts.conditions import Conditions, alike, is_on
from edge.alerts.events import Rule
from edge.alerts.learned import Calibrations
from edge.alerts.messages import Reporter, SnapshotOf, Told, no_snapshots, nobody
from edge.alerts.scene.light import Word
from edge.alerts.scene.scene import Scene
from edge.alerts.second_look import NoSecondLook, SecondLook
from edge.alerts.threshold import EVERYWHERE, CalibrationReport
from edge.alerts.watch import Happening, Watch, WatchedRule
from edge.config.models import Config, PromptConfig
from edge.delivery.payloads import Message, ModelRef
from edge.errors import EdgeError
from edge.model.bundle.manifest import Decision
from edge.rules.bank import PromptBank
from edge.rules.plan import assigned, plan, rules_of
from edge.scoring.margins import Scores, margins
from edge.scoring.scorers.base import Scored, Scorer
from edge.search.index.recorder import Recorder
from edge.system.clock import zone_of
from edge.video.sample import Arrival, Sample

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Camera:
    watch: Watch
    scene: Scene
    lag_s: float | None = None


class Pipeline:
    """The state of every camera between its samples and its messages. One thread uses it.

    Args:
        config: Cameras, rules, what to publish.
        model: What computes the scores, for the payloads.
        decision: Defaults of rules that set none, from the bundle.
        scorer: Samples to cosines.
        bank: Compiled prompts; ``adopt`` replaces them.
        calibrations: Where thresholds come from; default: learned anew and not kept.
        snapshot_of: Where an alert's picture comes from.
        second_look: Confirms an alert before it is told; default: all are.
        recorder: Keeps samples to be searched; default: none are.
        on_start: Told of each alert that starts.

    Attributes:
        profile: Of the box; may be set between two samples.
    """

    def __init__(  # noqa: PLR0913  the parts that it is put together of
        self,
        config: Config,
        model: ModelRef,
        decision: Decision,
        scorer: Scorer,
        bank: PromptBank,
        *,
        calibrations: Calibrations | None = None,
        snapshot_of: SnapshotOf = no_snapshots,
        second_look: SecondLook | None = None,
        recorder: Recorder | None = None,
        on_start: Callable[[Told], None] = nobody,
    ) -> None:
        self.bank = bank
        self.profile = config.profile
        self._zone = zone_of(config.timezone)
        self._config = config
        self._prompts: Mapping[str, PromptConfig] = config.prompts
        self._decision = decision
        self._calibrations = calibrations or Calibrations(None, model, config.background)
        self._second_look = second_look or NoSecondLook()
        self._scorer = scorer
        self._reporter = Reporter(config, model, snapshot_of, recorder, on_start)
        self._cameras = {
            name: _Camera(
                Watch({rule: self._watched(name, rule) for rule in self._rules_of(name)}),
                self._calibrations.scene(name),
            )
            for name in config.cameras
        }

    def adopt(self, prompts: Mapping[str, PromptConfig], bank: PromptBank) -> list[Message]:
        """Go on with other rules, between two samples: none is scored against half of them.

        A rule that stays as it was, but for when it is on, keeps its alert and what it learned; the
        alert of one that goes or changes ends. What changes nothing in what a rule sees (how many
        false alarms are asked for) finds on disk what it learned.

        Args:
            prompts: All rules by name.
            bank: Compiled of them.

        Returns:
            The ends.

        Raises:
            ConfigError: A second look cannot do what a rule asks for: nothing has changed.
            ModelError: A graph of a second look is not usable; likewise.
            InferenceError: It failed; likewise.
        """
        try:
            self._second_look.prepare(prompts, bank)
        except EdgeError:
            self._second_look.prepare(self._prompts, self.bank)
            raise
        self.save()
        before, self._prompts, self.bank = self._prompts, prompts, bank
        now = Arrival(wall=time.time(), monotonic=time.monotonic(), pts_s=None)
        messages = []
        for name, camera in self._cameras.items():
            wanted = self._rules_of(name)
            for rule in list(camera.watch.rules):
                if rule not in wanted or not alike(before[rule], prompts[rule]):
                    messages += self._reporter.alerts(name, camera.watch.drop(rule, now))
                    self._calibrations.drop(name, rule)
            for rule in wanted:
                if rule not in camera.watch.rules:
                    camera.watch.rules[rule] = self._watched(name, rule)
        return messages

    def process(self, samples: Sequence[Sample]) -> list[Message]:
        """Take at most one sample of each camera.

        The four steps are public so that ``edge-bench`` can time each.

        Returns:
            What is to be published, in order.

        Raises:
            InferenceError: The engine failed; the samples are lost.
        """
        bank = self.bank
        for sample in samples:
            self._second_look.see(sample)
        told = [
            (sample, scored)
            for sample, scored in zip(samples, self.score(bank, samples), strict=True)
            if scored is not None
        ]
        if not told:
            return []
        samples, answers = [sample for sample, _ in told], [scored for _, scored in told]
        happenings = self.decide(bank, samples, answers, self.weigh(bank, answers))
        return self.report(samples, answers, happenings)

    def score(self, bank: PromptBank, samples: Sequence[Sample]) -> list[Scored | None]:
        """Bring N samples through the model, as ``Scorer.score``.

        Raises:
            InferenceError: The engine failed; the samples are lost.
        """
        return self._scorer.score(samples, bank)

    def weigh(self, bank: PromptBank, answers: Sequence[Scored]) -> Scores:
        """Cosines and margins of every prompt, [N, P]."""
        return margins(bank, np.stack([scored.cosines for scored in answers]))

    def decide(
        self,
        bank: PromptBank,
        samples: Sequence[Sample],
        answers: Sequence[Scored],
        scores: Scores,
    ) -> list[list[Happening]]:
        """Step each camera's rules, those that are on; what happened, for each sample."""
        decided = []
        for row, sample in enumerate(samples):
            watch, at = self._cameras[sample.camera].watch, sample.arrival
            light = self._look_around(sample)
            happenings = watch.switch(self._on(watch.rules, light, at), at)
            happenings += watch.step(
                bank, answers[row], scores.cosine[row], scores.margin[row], at, light or EVERYWHERE
            )
            decided.append([self._looked_at(watch, sample, happening) for happening in happenings])
        return [[happening for happening in kept if happening is not None] for kept in decided]

    def report(
        self,
        samples: Sequence[Sample],
        answers: Sequence[Scored],
        happenings: Sequence[list[Happening]],
    ) -> list[Message]:
        """Put what happened, and the embeddings that are wanted, into messages."""
        messages = []
        for row, sample in enumerate(samples):
            camera = self._cameras[sample.camera]
            messages += self._reporter.sample(
                sample,
                happenings[row],
                answers[row].embedding,
                alerting=camera.watch.alerting,
            )
            camera.lag_s = time.monotonic() - sample.arrival.monotonic
        return messages

    def lost(self, now: Arrival) -> list[Message]:
        """End the alerts of cameras that gave nothing for long."""
        return [
            message
            for name, camera in self._cameras.items()
            for message in self._reporter.alerts(name, camera.watch.lost(now))
        ]

    def finish(self, now: Arrival) -> list[Message]:
        """End all alerts: the daemon stops watching."""
        return [
            message
            for name, camera in self._cameras.items()
            for message in self._reporter.alerts(name, camera.watch.finish(now))
        ]

    def save(self) -> None:
        """Keep what the thresholds rest on."""
        self._calibrations.save()

    def admit(self, camera: str, rule: str, levels: Mapping[str, float]) -> None:
        """An alert was none: what it reached is ordinary."""
        self._calibrations.admit(camera, rule, levels)

    def calibration_of(self, camera: str) -> dict[str, CalibrationReport]:
        """Where the camera's thresholds come from, by rule."""
        rules = self._cameras[camera].watch.rules
        return {name: rule.calibration.report() for name, rule in rules.items()}

    def scene_of(self, camera: str) -> Scene:
        """What the camera looks at."""
        return self._cameras[camera].scene

    def alerting(self) -> dict[tuple[str, str], bool]:
        """Whether an alert runs, for each camera and rule of it, enabled or not."""
        watched = {name: camera.watch.rules for name, camera in self._cameras.items()}
        return {
            (name, rule): rule in watched[name] and watched[name][rule].machine.alerting
            for name, camera in self._config.cameras.items()
            for rule in assigned(camera, self._prompts)
        }

    def try_alert(self, rule: str, now: Arrival) -> list[Message]:
        """An alert that is none, start and end, on each camera that ``rule`` watches."""
        return [
            message
            for name, camera in self._cameras.items()
            if rule in camera.watch.rules
            for message in self._reporter.tested(name, rule, camera.watch.rules[rule], now)
        ]

    def margins_of(self, camera: str) -> dict[str, float]:
        """Margins of the camera's newest sample, by prompt."""
        return self._cameras[camera].watch.margins

    def lag_of(self, camera: str) -> float | None:
        """Seconds from arrival to decision of the camera's newest sample."""
        return self._cameras[camera].lag_s

    def _rules_of(self, camera: str) -> list[str]:
        return rules_of(self._config.cameras[camera], self._prompts)

    def _watched(self, camera: str, name: str) -> WatchedRule:
        prompt, fps = self._prompts[name], self._config.cameras[camera].sample.fps
        rule = Rule.of(prompt, self._decision, fps)
        return WatchedRule(
            plan(name, prompt),
            rule,
            self._calibrations.calibration(camera, name, prompt, rule, fps),
            base=self._decision.threshold,
            pool=prompt.pool,
        )

    def _on(self, rules: Iterable[str], light: Word | None, at: Arrival) -> set[str]:
        """Which of the rules are on."""
        now = Conditions(datetime.fromtimestamp(at.wall, self._zone), light, self.profile)
        return {name for name in rules if is_on(self._prompts[name], now)}

    def _look_around(self, sample: Sample) -> Word | None:
        """Take note of the scene; its light, which is also its regime (docs/adr/0015-regimes.md).

        What was learned of another view says nothing about this one.
        """
        scene = self._cameras[sample.camera].scene
        changed = scene.step(sample.pixels, sample.arrival)
        if changed is not None:
            told = "sees something else" if changed.kind == "moved" else "sees nothing any more"
            logger.warning(
                "camera %s %s (similarity %.2f)", sample.camera, told, changed.similarity
            )
            if changed.kind == "moved":
                self._calibrations.forget(sample.camera)
        return scene.light

    def _looked_at(self, watch: Watch, sample: Sample, happening: Happening) -> Happening | None:
        """Ask for a second look where an alert starts; None where it says no."""
        if happening.transition.type != "start":
            return happening
        finding = self._second_look.look(self.bank, happening.prompt, sample)
        if not finding.confirmed:
            logger.debug("%s/%s vetoed: %s", sample.camera, happening.prompt, finding.reason)
            watch.veto(happening.prompt)
            return None
        return replace(happening, finding=finding)
