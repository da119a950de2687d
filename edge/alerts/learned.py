"""Keeps all calibrations and views of the device across restarts, in one SQLite file.

Each entry lies under a key of everything that it depends on: model, precision, sentences, rhythm.
Where the key changes, the entry is not found, and learning starts anew. A damaged file or a full
disk costs what was learned and nothing else.
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
from edge.config.prompt import PromptConfig
from edge.delivery.payloads import ModelRef
from edge.rules.plan import plan
from edge.system.kept_file import KeptFile

logger = logging.getLogger(__name__)

# Raise this when a tail's meaning changes: entries of older versions are then ignored.
_VERSION: Final = 1
# Settings of a rule that decide its margins, beside the weights.
_SCORED: Final = {"text", "negatives", "pool"}
_WEIGHTS: Final = {"texts", "templates", "negatives"}
_VIEW: Final = "#view"  # a name that no rule may have
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS learned (camera TEXT, rule TEXT, regime TEXT, key TEXT, data BLOB,"
    " saved_at REAL, PRIMARY KEY (camera, rule, regime))"
)


def key_of(facts: object) -> str:
    """Return the SHA-256 of ``facts``, which may be anything that JSON takes."""
    return hashlib.sha256(json.dumps([_VERSION, facts], sort_keys=True).encode()).hexdigest()


class CalibrationFile:
    """File of tails and views.

    Args:
        path: Path of the file, which is made where there is none.
    """

    def __init__(self, path: Path) -> None:
        self._file = KeptFile(path, _SCHEMA, "what was learned is not kept")

    def load(self, camera: str, name: str, key: str, rule: Rule) -> dict[str, AlarmTail]:
        """Return the tails of this camera and rule, by regime; empty where no entry fits."""
        tails = {}
        for regime, data in self._rows(camera, name, key):
            try:
                tails[regime] = AlarmTail.from_bytes(rule, data)
            except ValueError as exc:
                logger.warning("%s: %s/%s learns anew: %s", self._file.path, camera, name, exc)
        return tails

    def bytes_of(self, camera: str, rule: str, key: str) -> bytes | None:
        """Return another entry (a camera's view), which lies under a name that no rule has."""
        return next((data for _, data in self._rows(camera, rule, key)), None)

    def save(self, rows: Iterable[tuple[str, str, str, str, bytes]]) -> None:
        """Replace rows (camera, rule, regime, key, data) in one transaction."""
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
        self._running: dict[tuple[str, str], tuple[str, Calibration]] = {}
        self._scenes: dict[str, Scene] = {}
        self._view_key = key_of(["view", model.hash])  # the bundle decides the preprocessing

    def calibration(
        self, camera: str, name: str, prompt: PromptConfig, rule: Rule, fps: float
    ) -> Calibration:
        """Make the calibration of this rule on this camera, with what was learned before."""
        key = key_of(
            [self._model.model_dump(), self._background, _scored(prompt), _rhythm(rule), fps]
        )
        asked = prompt.false_alarms_per_day if prompt.threshold is None else None
        tails = {}
        if asked is not None and self._file is not None:
            tails = self._file.load(camera, name, key, rule)
        # Below the clauses' own threshold, the order in time that a rule asks for means nothing.
        lowest = rule.threshold if plan(name, prompt).has_time else None
        calibration = Calibration(rule, asked, tails, lowest=lowest)
        self._running[camera, name] = key, calibration
        return calibration

    def scene(self, camera: str) -> Scene:
        """Make the scene of this camera, with the view that was learned before."""
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
        """Stop the calibration of this rule on this camera. What it learned stays on disk."""
        self._running.pop((camera, name), None)

    def admit(self, camera: str, name: str, levels: Mapping[str, float]) -> None:
        """Count an alert of this rule on this camera as ordinary, up to ``levels`` by regime."""
        if (camera, name) in self._running:
            self._running[camera, name][1].admit(levels)

    def forget(self, camera: str) -> None:
        """Begin anew with this camera, because it sees something else."""
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
    """Return the settings of a rule that decide its margins."""
    weights = prompt.sharpened if prompt.sharpened and prompt.sharpened.texts else None
    return [
        prompt.model_dump(mode="json", include=_SCORED),
        weights and weights.model_dump(mode="json", include=_WEIGHTS),
    ]


def _rhythm(rule: Rule) -> dict[str, object]:
    """Return the settings of a rule that decide how margins become clusters.

    Threshold and hysteresis are not among them: calibration and sharpening replace both, and both
    end an alert half the way back (``null``, ``rules/fit.py``).
    """
    replaced = {"threshold", "hysteresis"}
    return {key: value for key, value in asdict(rule).items() if key not in replaced}
