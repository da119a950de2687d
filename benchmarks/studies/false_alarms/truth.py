"""Counts the alarms per day that a threshold causes on a long stream, for any threshold."""

from dataclasses import replace
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from benchmarks.studies.false_alarms.streams import CENTRE, DAY, FPS, margins
from edge.alerts.events import EventMachine, Rule
from edge.video.sample import Arrival

# Time constant of the baseline in edge.alerts.null.alarms.
_BASELINE_S: Final = 1800.0
# Levels at which the long stream's alarms are counted, in alarms per day.
_RATES: Final = (0.02, 500.0)
_LEVELS: Final = 20


class Truth:
    """Alarms per day of a long stream at any level, counted at some levels and interpolated.

    Args:
        kind: Key of ``STREAMS``.
        rule: Timing of the rule; its threshold does not matter.
        days: Length of the stream.
        relative: Whether levels are margins above the baseline; else they are margins.
        night: Half of each day that counts: True for night, False for day, None for both.
    """

    def __init__(
        self, kind: str, rule: Rule, days: int, *, relative: bool, night: bool | None = None
    ) -> None:
        values = _long(kind, days, relative=relative, night=night)
        watched = len(values) / DAY
        statistic = _statistic(values, rule)
        top = np.sort(statistic)[::-1]
        # An alarm takes several samples: these ranks cover more than the wanted rates.
        ranks = np.geomspace(
            _RATES[0] * watched + 2, min(_RATES[1] * watched * 4, len(top) / 10), _LEVELS
        )
        self._levels = np.unique(top[ranks.astype(int)])
        counts = [
            _alarms(values, statistic, rule, float(level), relative) for level in self._levels
        ]
        self._log_rates = np.log((np.array(counts) + 0.5) / watched)

    def rate(self, level: float) -> float:
        """Return the alarms per day at ``level``."""
        return float(np.exp(np.interp(level, self._levels, self._log_rates)))


def _long(kind: str, days: int, *, relative: bool, night: bool | None) -> NDArray[np.float32]:
    """Return the samples of a long stream, float32 [n]."""
    parts, state = [], None
    share = 1 / (FPS * _BASELINE_S)
    for day in islice(margins(kind, seed=10_000), days):
        part = day
        if night is not None:
            part = part[DAY // 2 :] if night else part[: DAY // 2]
        if relative:
            state = np.array([(1 - share) * part[0]]) if state is None else state
            before = state[0]
            follows, state = signal.lfilter([share], [1, share - 1], part, zi=state)
            baseline = np.concatenate([[before / (1 - share)], follows[:-1]])
            part = part - baseline
        parts.append(part.astype(np.float32))
    return np.concatenate(parts)


def _statistic(values: NDArray[np.float32], rule: Rule) -> NDArray[np.float32]:
    """Return for each sample the largest threshold at which it still causes an alarm."""
    if rule.on_of == 1:
        return values
    older = np.maximum(np.roll(values, 1), np.roll(values, 2))
    return np.minimum(values, older)


def _alarms(
    values: NDArray[np.float32],
    statistic: NDArray[np.float32],
    rule: Rule,
    level: float,
    relative: bool,  # noqa: FBT001
) -> int:
    """Count the starts of the event machine; it runs only where samples are above ``level``."""
    reach = level if relative else level - CENTRE
    rule = replace(rule, threshold=level, hysteresis=min(rule.hysteresis, max(0.0, reach / 2)))
    count, done = 0, 0
    for hit in np.flatnonzero(statistic >= level):
        if hit < done:
            continue
        machine = EventMachine(rule, lambda _at: "")
        position = max(int(hit) + 1 - rule.on_of, done)
        while position < len(values):
            at = Arrival(position / FPS, position / FPS, None)
            ended = any(t.type == "end" for t in machine.step(float(values[position]), 0.0, at))
            position += 1
            if ended or (position > hit and not machine.alerting):
                break
        count += 1
        done = position
    return count
