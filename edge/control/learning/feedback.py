"""Keeps which alerts people called right or false, with what the model saw: one SQLite file.

The start of each alert is noted with its embedding and its levels, so that feedback can be learned
from later, also after a restart. It waits in memory until the keeper writes it: a file that is
locked or a disk that is slow holds no alert up.
"""

import json
import math
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from statistics import mode
from typing import Any, Final, TypeVar

import numpy as np

from edge.alerts.messages import StartedAlert
from edge.control.commands import Feedback
from edge.rules.shots import Shots
from edge.system.kept_file import KeptFile

_T = TypeVar("_T")

FEEDBACK: Final = "feedback.db"
"""Name of the file in the daemon's ``state_dir``."""

# Number of alerts that are kept, the newest ones: at 512 dimensions 4 MB.
_ALERTS: Final = 2000
_TABLE: Final = (
    "CREATE TABLE alerts (alert TEXT PRIMARY KEY, camera TEXT, rule TEXT,"
    " sentences TEXT, model TEXT, at REAL, levels TEXT, embedding BLOB, correct INTEGER)"
)
# The newest are those that were written last, whatever the clock said then.
_PRUNE: Final = (
    "DELETE FROM alerts WHERE rowid NOT IN (SELECT rowid FROM alerts ORDER BY rowid DESC LIMIT ?)"
)
_Row = tuple[str, str, str, str, str, float | None, str, bytes | None]


class FeedbackFile:
    """File of alerts and feedback on them. May be called from any thread.

    Args:
        path: Path of the file, which is made where there is none.
        model: Hash of the bundle: embeddings of another model are of no use.

    Attributes:
        name: Name of the file.
        model: Hash of the bundle.
    """

    def __init__(self, path: Path, model: str) -> None:
        self.name = path.name
        self.model = model
        self._file = KeptFile(path, _TABLE)
        self._lock = threading.Lock()
        self._waiting: deque[_Row] = deque(maxlen=_ALERTS)

    def expect(self, alert: StartedAlert) -> None:
        """Note an alert that has started, so that feedback on it can come; return at once."""
        vector = None if alert.embedding is None else alert.embedding.astype("<f4").tobytes()
        row = (
            alert.alert, alert.camera, alert.rule, json.dumps(alert.sentences), self.model,
            alert.at, json.dumps(dict(alert.levels)), vector,
        )  # fmt: skip
        with self._lock:
            self._waiting.append(row)

    def flush(self) -> None:
        """Write the alerts that wait.

        Raises:
            SideFileError: They cannot be written now, and go on waiting.
        """
        if self._waiting:
            self._do(lambda _db: None)

    def add(self, feedback: Feedback) -> StartedAlert | None:
        """Note feedback; return its alert, or None where that is not known, or no longer.

        Raises:
            SideFileError: The file cannot be read or written now; the feedback is not noted.
        """

        def note(db: sqlite3.Connection) -> StartedAlert | None:
            row = db.execute(
                "SELECT alert, camera, rule, sentences, levels, at, correct FROM alerts"
                " WHERE alert = ?",
                (feedback.alert,),
            ).fetchone()
            if row is None:
                return None
            alert = _read(*row)
            if alert is not None:
                db.execute(
                    "UPDATE alerts SET correct = ? WHERE alert = ?",
                    (feedback.correct, feedback.alert),
                )
            return alert

        return self._do(note)

    def shots(self, rule: str, sentences: tuple[str, ...]) -> Shots | None:
        """Return the alerts of a rule that got feedback, as shots; None where there are none.

        Args:
            rule: Name of the rule.
            sentences: Sentences of the rule; feedback on other sentences is left out.

        Raises:
            SideFileError: The file cannot be read now.
        """
        query = (
            "SELECT embedding, correct FROM alerts WHERE rule = ? AND sentences = ? AND model = ?"
            " AND embedding IS NOT NULL AND correct IS NOT NULL ORDER BY rowid"
        )
        found: list[tuple[Any, Any]] = self._do(
            lambda db: db.execute(query, (rule, json.dumps(sentences), self.model)).fetchall()
        )
        # A row whose bytes were damaged on the disk costs only itself.
        rows = [(vector, correct) for vector, correct in found if isinstance(vector, bytes)]
        usual = mode(len(vector) for vector, _ in rows) if rows else 0
        shots = [
            (np.frombuffer(vector, "<f4"), bool(correct))
            for vector, correct in rows
            if len(vector) == usual and usual % 4 == 0
        ]
        shots = [(vector, correct) for vector, correct in shots if np.isfinite(vector).all()]
        if not shots:
            return None
        return Shots(
            np.stack([vector for vector, _ in shots]),
            np.array([correct for _, correct in shots]),
            np.arange(len(shots)),
        )

    def _do(self, action: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run ``action`` after the alerts that wait are written, in the same transaction."""
        with self._lock:
            rows = list(self._waiting)

        def write(db: sqlite3.Connection) -> _T:
            if rows:
                db.executemany(
                    "INSERT OR IGNORE INTO alerts VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)", rows
                )
                db.execute(_PRUNE, (_ALERTS,))
            return action(db)

        result = self._file.do(write)
        with self._lock:
            for row in rows:
                if self._waiting and self._waiting[0] is row:
                    self._waiting.popleft()
        return result


def _read(
    alert: str, camera: Any, rule: Any, sentences: Any, levels: Any, at: Any, correct: Any
) -> StartedAlert | None:
    """Return the alert of a row; None where its bytes were damaged on the disk."""
    if not isinstance(camera, str) or not isinstance(rule, str):
        return None
    try:
        said = tuple(json.loads(sentences))
        reached = {str(name): float(level) for name, level in json.loads(levels).items()}
    except (TypeError, ValueError, AttributeError, OverflowError, RecursionError):
        return None
    if not all(isinstance(sentence, str) for sentence in said):
        return None
    if not all(math.isfinite(level) for level in reached.values()):
        return None
    when = at if isinstance(at, float) and math.isfinite(at) else None
    known = None if correct is None else bool(correct)
    return StartedAlert(alert, camera, rule, said, reached, when, None, known)
