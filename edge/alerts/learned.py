"""Makes the calibrations and views of the cameras, with what was learned before.

Each entry lies under a key of everything that it depends on: model, precision, sentences, rhythm.
Where the key changes, the entry is not found, and learning starts anew.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, tzinfo
from typing import Final

from edge.alerts.calibration_file import VERSION, CalibrationFile
from edge.alerts.events import Rule
from edge.alerts.messages import StartedAlert
from edge.alerts.null import AlarmTail
from edge.alerts.scene.scene import Scene
from edge.alerts.scene.view import View
from edge.alerts.threshold import EVERYWHERE, Calibration
from edge.alerts.visits import Visits
from edge.config.prompt import PromptConfig
from edge.delivery.payloads import ModelRef
from edge.rules.plan import plan

logger = logging.getLogger(__name__)

# Settings of a rule that decide its margins, beside the weights.
_SCORED: Final = {"text", "negatives", "pool"}
_WEIGHTS: Final = {"texts", "templates", "negatives"}
# Names that no rule may have.
_VIEW: Final = "#view"
_VISITS: Final = "#visits "


def key_of(facts: object) -> str:
    """Return the SHA-256 of ``facts``, which may be anything that JSON takes."""
    return hashlib.sha256(json.dumps([VERSION, facts], sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _Running:
    """A calibration with what its entries lie under."""

    key: str
    rule: Rule
    calibration: Calibration
    visits: Visits


class Calibrations:
    """Makes the calibration of each camera and rule, and keeps what they learn.

    Args:
        file: File to keep it in; None keeps nothing.
        model: Model in use; another model or precision gives other margins.
        background: Background sentences of the configuration; None for the bundle's.
    """

    def __init__(
        self, file: CalibrationFile | None, model: ModelRef, background: Sequence[str] | None
    ) -> None:
        self._file = file
        self._model = model
        self._background = background
        self._running: dict[tuple[str, str], _Running] = {}
        self._scenes: dict[str, Scene] = {}
        self._view_key = key_of(["view", model.hash])  # the bundle decides the preprocessing
        self._caught_up = file is None or file.ready

    def calibration(
        self,
        camera: str,
        name: str,
        prompt: PromptConfig,
        rule: Rule,
        fps: float,
        zone: tzinfo = UTC,
    ) -> Calibration:
        """Make the calibration of this rule on this camera, with what was learned before.

        Args:
            camera: Name of the camera.
            name: Name of the rule.
            prompt: Settings of the rule.
            rule: Condition of its alerts.
            fps: Samples per second.
            zone: Time zone of the hours at which it alarms.
        """
        key = key_of(
            [self._model.model_dump(), self._background, _scored(prompt), _rhythm(rule), fps]
        )
        asked = prompt.false_alarms_per_day if prompt.threshold is None else None
        # Below the clauses' own threshold, the order in time that a rule asks for means nothing.
        lowest = rule.threshold if plan(name, prompt).has_time else None
        tails = {} if asked is None else self._tails(camera, name, key, rule)
        calibration = Calibration(
            rule, asked, tails, lowest=lowest, even=prompt.even, start=prompt.start, zone=zone
        )
        visits = self._visits(camera, name, key) or Visits()
        self._running[camera, name] = _Running(key, rule, calibration, visits)
        return calibration

    def visits(self, camera: str, name: str) -> Visits:
        """Return the alerts that were counted of a rule whose calibration was made."""
        return self._running[camera, name].visits

    def scene(self, camera: str) -> Scene:
        """Make the scene of this camera, with the view that was learned before."""
        self._scenes[camera] = Scene(self._view(camera))
        return self._scenes[camera]

    def catch_up(self) -> None:
        """Take in what was learned before, once a file can be read that could not at the start.

        Of each tail the one that has learned from more samples stays.
        """
        if self._caught_up or self._file is None or not self._file.ready:
            return
        self._caught_up = True
        for (camera, name), running in self._running.items():
            if running.calibration.learns:
                tails = self._tails(camera, name, running.key, running.rule)
                running.calibration.restore(tails)
            if (visits := self._visits(camera, name, running.key)) is not None:
                running.visits.go_on(visits)
        for camera, scene in self._scenes.items():
            scene.view = self._view(camera) or scene.view
        logger.info("what was learned before is back")

    def drop(self, camera: str, name: str) -> None:
        """Stop the calibration of this rule on this camera. What it learned stays on disk."""
        self._running.pop((camera, name), None)

    def rate(self, alert: StartedAlert, *, correct: bool) -> None:
        """Learn from what a person said of an alert, where its rule still runs on its camera."""
        running = self._running.get((alert.camera, alert.rule))
        if running is not None:
            running.calibration.rate(alert.levels, alert.at, correct=correct)

    def forget(self, camera: str) -> None:
        """Begin anew with this camera, because it sees something else."""
        for (whose, _), running in self._running.items():
            if whose == camera:
                running.calibration.forget()

    def save(self) -> None:
        """Give everything that was learned to the file, which writes it; return at once."""
        if self._file is None:
            return
        self.catch_up()
        tails = {
            (camera, name, regime): (running.key, tail.to_bytes())
            for (camera, name), running in self._running.items()
            for regime, tail in running.calibration.tails.items()
        }
        views = {
            (camera, _VIEW, EVERYWHERE): (self._view_key, scene.view.to_bytes())
            for camera, scene in self._scenes.items()
        }
        visits = {
            (camera, _VISITS + name, EVERYWHERE): (running.key, running.visits.to_bytes())
            for (camera, name), running in self._running.items()
        }
        self._file.save(tails | views | visits)

    def _tails(self, camera: str, name: str, key: str, rule: Rule) -> dict[str, AlarmTail]:
        """Return the tails of this camera and rule that the file has, by regime."""
        tails: dict[str, AlarmTail] = {}
        if self._file is None:
            return tails
        for regime in self._file.regimes(camera, name):
            data = self._file.get(camera, name, regime, key)
            if data is None:
                continue
            try:
                tails[regime] = AlarmTail.from_bytes(rule, data)
            except ValueError as exc:
                self._file.spoiled()
                logger.warning("%s: %s/%s learns anew: %s", self._file.name, camera, name, exc)
        return tails

    def _visits(self, camera: str, name: str, key: str) -> Visits | None:
        """Return the visits of this camera and rule that the file has; None where it has none."""
        if self._file is None:
            return None
        data = self._file.get(camera, _VISITS + name, EVERYWHERE, key)
        if data is None:
            return None
        try:
            return Visits.from_bytes(data)
        except ValueError as exc:
            self._file.spoiled()
            logger.warning("camera %s, rule %s: visits are counted anew: %s", camera, name, exc)
            return None

    def _view(self, camera: str) -> View | None:
        """Return the view of this camera that the file has; None where it has none."""
        if self._file is None:
            return None
        data = self._file.get(camera, _VIEW, EVERYWHERE, self._view_key)
        if data is None:
            return None
        try:
            return View.from_bytes(data)
        except ValueError as exc:
            self._file.spoiled()
            logger.warning("camera %s: its view is learned anew: %s", camera, exc)
            return None


def _scored(prompt: PromptConfig) -> list[object]:
    """Return the settings of a rule that decide its margins."""
    weights = prompt.sharpened if prompt.sharpened and prompt.sharpened.texts else None
    return [
        prompt.model_dump(mode="json", include=_SCORED),
        weights and weights.model_dump(mode="json", include=_WEIGHTS),
    ]


def _rhythm(rule: Rule) -> dict[str, object]:
    """Return the settings of a rule that decide how margins become clusters.

    Threshold and hysteresis are not among them: calibration and sharpening replace both, and both
    end an alert half the way back (``null``, ``rules/fit.py``). Nor are the times of samples: the
    key has the camera's rate beside it, and how often nothing moves is no setting of the rule.
    """
    others = {"threshold", "hysteresis", "still_s", "period_s"}
    return {key: value for key, value in asdict(rule).items() if key not in others}
