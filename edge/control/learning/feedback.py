"""Keeps which alerts people called right or false, with what the model saw: one SQLite file.

The start of each alert is written down with its embedding and its levels, so that feedback can be
learned from later, also after a restart. A damaged file is set aside. If the disk fails, feedback
is lost, but no alert.
"""

import json
import sqlite3
import time
from pathlib import Path
from typing import Final

import numpy as np

from edge.alerts.messages import StartedAlert
from edge.control.commands import Feedback
from edge.rules.shots import Shots
from edge.system.kept_file import KeptFile

FEEDBACK: Final = "feedback.db"
"""Name of the file in the daemon's ``state_dir``."""

# Number of alerts that are kept, the newest ones: at 512 dimensions 4 MB.
_ALERTS: Final = 2000
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS alerts (alert TEXT PRIMARY KEY, camera TEXT, rule TEXT,"
    " sentences TEXT, model TEXT, at REAL, levels TEXT, embedding BLOB, correct INTEGER)"
)


class FeedbackFile:
    """File of alerts and feedback on them. May be called from any thread.

    Args:
        path: Path of the file, which is made where there is none.
        model: Hash of the bundle: embeddings of another model are of no use.

    Attributes:
        model: Hash of the bundle.
    """

    def __init__(self, path: Path, model: str) -> None:
        self._file = KeptFile(path, _SCHEMA, "feedback is not kept")
        self.model = model

    def expect(self, alert: StartedAlert) -> None:
        """Write down an alert that has started, so that feedback on it can come."""
        vector = None if alert.embedding is None else alert.embedding.astype("<f4").tobytes()
        row = (
            alert.alert, alert.camera, alert.rule, json.dumps(alert.sentences), self.model,
            time.time(), json.dumps(dict(alert.levels)), vector, None,
        )  # fmt: skip

        def note(db: sqlite3.Connection) -> None:
            db.execute("REPLACE INTO alerts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            db.execute(
                "DELETE FROM alerts WHERE alert NOT IN"
                " (SELECT alert FROM alerts ORDER BY at DESC LIMIT ?)",
                (_ALERTS,),
            )

        self._file.do(note, None)

    def add(self, feedback: Feedback) -> StartedAlert | None:
        """Note feedback; return its alert, or None where that is not known, or no longer."""

        def note(db: sqlite3.Connection) -> StartedAlert | None:
            row = db.execute(
                "SELECT alert, camera, rule, sentences, levels, correct FROM alerts"
                " WHERE alert = ?",
                (feedback.alert,),
            ).fetchone()
            if row is None:
                return None
            db.execute(
                "UPDATE alerts SET correct = ? WHERE alert = ?", (feedback.correct, feedback.alert)
            )
            alert, camera, rule, sentences, levels, before = row
            correct = None if before is None else bool(before)
            said = tuple(json.loads(sentences))
            return StartedAlert(alert, camera, rule, said, json.loads(levels), None, correct)

        return self._file.do(note, None)

    def shots(self, rule: str, sentences: tuple[str, ...]) -> Shots | None:
        """Return the alerts of a rule that got feedback, as shots; None where there are none.

        Args:
            rule: Name of the rule.
            sentences: Sentences of the rule; feedback on other sentences is left out.
        """
        query = (
            "SELECT embedding, correct FROM alerts WHERE rule = ? AND sentences = ? AND model = ?"
            " AND embedding IS NOT NULL AND correct IS NOT NULL ORDER BY at"
        )
        rows: list[tuple[bytes, int]] = self._file.do(
            lambda db: db.execute(query, (rule, json.dumps(sentences), self.model)).fetchall(), []
        )
        if not rows:
            return None
        return Shots(
            np.stack([np.frombuffer(vector, "<f4") for vector, _ in rows]),
            np.array([bool(correct) for _, correct in rows]),
            np.arange(len(rows)),
        )
