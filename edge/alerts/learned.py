"""All calibrations of the device, kept across restarts in one SQLite file.

What was learned lies under a key of everything that it depends on: model, precision, sentences,
rhythm. Under another key it is not found, and learning starts anew. A file that is damaged, or a
disk that is full, costs what was learned and nothing else.
"""

import hashlib
import json
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from edge.alerts.events import Rule
from edge.alerts.null import AlarmTail
from edge.alerts.scene.scene import Scene
from edge.alerts.scene.view import View
from edge.alerts.threshold import EVERYWHERE, Calibration
from edge.config.models import PromptConfig
from edge.delivery.payloads import ModelRef
from edge.rules.plan import plan
from edge.system.kept_file import KeptFile

logger = logging.getLogger(__name__)

# Bump when a tail's meaning changes: what older versions learned is then left behind.
_VERSION: Final = 1
# What of a rule decides its margins, beside the weights.
_SCORED: Final = {"text", "negatives", "pool"}
_WEIGHTS: Final = {"texts", "templates", "negatives"}
_VIEW: Final = "#view"  # no rule may be called that
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS learned (camera TEXT, rule TEXT, regime TEXT, key TEXT, data BLOB,"
    " saved_at REAL, PRIMARY KEY (camera, rule, regime))"
)


def key_of(facts: object) -> str:
    """SHA-256 over ``facts``, anything that JSON takes."""
    return hashlib.sha256(json.dumps([_VERSION, facts], sort_keys=True).encode()).hexdigest()


class CalibrationFile:
    """Tails on disk.

    Args:
        path: Made where there is none.
    """

    def __init__(self, path: Path) -> None:
        self._file = KeptFile(path, _SCHEMA, "what was learned is not kept")

    def load(self, camera: str, name: str, key: str, rule: Rule) -> dict[str, AlarmTail]:
        """What was learned for this camera and rule, by regime; empty where nothing fits."""
        tails = {}
        for regime, data in self._rows(camera, name, key):
            try:
                tails[regime] = AlarmTail.from_bytes(rule, data)
            except ValueError as exc:
                logger.warning("%s: %s/%s learns anew: %s", self._file.path, camera, name, exc)
        return tails

    def bytes_of(self, camera: str, rule: str, key: str) -> bytes | None:
        """Other things kept the same way (a camera's view), under a name that is no rule's."""
        return next((data for _, data in self._rows(camera, rule, key)), None)

    def save(self, rows: Iterable[tuple[str, str, str, str, bytes]]) -> None:
        """Replace rows of camera, rule, regime, key, data, in one transaction."""
        now = time.time()
        stamped = [(*row, now) for row in rows]
        statement = "REPLACE INTO learned VALUES (?, ?, ?, ?, ?, ?)"
        self._file.do(lambda db: db.executemany(statement, stamped), None)

    def _rows(self, camera: str, rule: str, key: str) -> list[tuple[str, bytes]]:
        query = "SELECT regime, data FROM learned WHERE camera = ? AND rule = ? AND key = ?"
        return self._file.do(lambda db: db.execute(query, (camera, rule, key)).fetchall(), [])


class Calibrations:
    """Makes the calibration of each camera and rule, and keeps what they learn.

    Args:
        file: Where to; None keeps nothing.
        model: Margins of another model or precision are other margins.
        background: Of the configuration; None for the bundle's.
    """

    def __init__(
        self, file: CalibrationFile | None, model: ModelRef, background: Sequence[str] | None
    ) -> None:
        self._file = file
        self._model = model
        self._background = background
        self._running: dict[tuple[str, str], tuple[str, Calibration]] = {}
        self._scenes: dict[str, Scene] = {}
        self._view_key = key_of(["view", model.hash])  # of the preprocessing, at least

    def calibration(
        self, camera: str, name: str, prompt: PromptConfig, rule: Rule, fps: float
    ) -> Calibration:
        """Of this rule on this camera, with what was learned before."""
        key = key_of(
            [self._model.model_dump(), self._background, _scored(prompt), _rhythm(rule), fps]
        )
        asked = prompt.false_alarms_per_day if prompt.threshold is None else None
        tails = {}
        if asked is not None and self._file is not None:
            tails = self._file.load(camera, name, key, rule)
        # Below the clauses' own threshold, what a sentence says about time would mean nothing.
        lowest = rule.threshold if plan(name, prompt).has_time else None
        calibration = Calibration(rule, asked, tails, lowest=lowest)
        self._running[camera, name] = key, calibration
        return calibration

    def scene(self, camera: str) -> Scene:
        """Of this camera, with the view that was learned before."""
        view = None
        data = self._file.bytes_of(camera, _VIEW, self._view_key) if self._file else None
        if data is not None:
            try:
                view = View.from_bytes(data)
            except ValueError as exc:
                logger.warning("camera %s: its view is learned anew: %s", camera, exc)
        self._scenes[camera] = Scene(view)
        return self._scenes[camera]

    def drop(self, camera: str, name: str) -> None:
        """This rule is no longer watched on this camera. What it learned stays on disk."""
        self._running.pop((camera, name), None)

    def admit(self, camera: str, name: str, levels: Mapping[str, float]) -> None:
        """An alert of this rule on this camera was none."""
        if (camera, name) in self._running:
            self._running[camera, name][1].admit(levels)

    def forget(self, camera: str) -> None:
        """The camera sees something else: begin anew."""
        for (whose, _), (_, calibration) in self._running.items():
            if whose == camera:
                calibration.forget()

    def save(self) -> None:
        """Write everything that was learned."""
        if self._file is None:
            return
        tails = [
            (camera, name, regime, key, tail.to_bytes())
            for (camera, name), (key, calibration) in self._running.items()
            for regime, tail in calibration.tails.items()
        ]
        views = [
            (camera, _VIEW, EVERYWHERE, self._view_key, scene.view.to_bytes())
            for camera, scene in self._scenes.items()
        ]
        self._file.save(tails + views)


def _scored(prompt: PromptConfig) -> list[object]:
    """What of a rule decides its margins."""
    weights = prompt.sharpened if prompt.sharpened and prompt.sharpened.texts else None
    return [
        prompt.model_dump(mode="json", include=_SCORED),
        weights and weights.model_dump(mode="json", include=_WEIGHTS),
    ]


def _rhythm(rule: Rule) -> dict[str, object]:
    """How margins become clusters.

    The threshold is what is learned, whatever it begins with; and of hysteresis both what is
    learned and what is taught end an alert half the way back (``rules/sharpen.py``, ``null``).
    """
    taught = {"threshold", "hysteresis"}
    return {key: value for key, value in asdict(rule).items() if key not in taught}
