"""What people said of alerts: right, or a false alarm. One JSON line each, the newest counts."""

import json
import logging
import time
from collections import OrderedDict
from pathlib import Path
from typing import Final

from edge.control import Feedback

logger = logging.getLogger(__name__)

# Alerts that are remembered, so that a line can say whose alert it was.
_ALERTS: Final = 1000
# About 7,000 lines; then the older half goes.
_MAX_BYTES: Final = 1024 * 1024


class FeedbackFile:
    """Lines of ``at`` (seconds since the epoch), ``alert``, ``correct``, ``camera``, ``rule``.

    The last two are null for an alert of before the daemon's start.

    Args:
        path: Made where there is none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._alerts: OrderedDict[str, tuple[str, str]] = OrderedDict()

    def expect(self, alert: str, camera: str, rule: str) -> None:
        """An alert was told."""
        self._alerts[alert] = (camera, rule)
        while len(self._alerts) > _ALERTS:
            self._alerts.popitem(last=False)

    def add(self, feedback: Feedback) -> None:
        """Write what was said of an alert; a disk in trouble costs it, and is logged."""
        camera, rule = self._alerts.get(feedback.alert, (None, None))
        line = json.dumps(
            {
                "at": round(time.time(), 3),
                "alert": feedback.alert,
                "correct": feedback.correct,
                "camera": camera,
                "rule": rule,
            }
        )
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.exists() and self._path.stat().st_size > _MAX_BYTES:
                lines = self._path.read_text("utf-8").splitlines(keepends=True)
                new = self._path.with_suffix(".new")
                new.write_text("".join(lines[len(lines) // 2 :]), "utf-8")
                new.replace(self._path)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as exc:
            logger.error("feedback about %s is lost: %s", feedback.alert, exc)  # noqa: TRY400  expected: no traceback
