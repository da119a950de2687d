"""How often a rule alarms on ordinary frames, and the threshold that makes it as often as asked.

What is counted is what the user would count: alerts. The event machine itself, set to a low *base
level*, cuts the stream into clusters, each of which is one alert at that level; the largest value
that a cluster would still alert at is its *peak*. So persistence (k of n), sampling rate and the
correlation of neighbouring frames are all in the peaks already (declustering by runs: Leadbetter
1991; Ferro and Segers 2003), and alarms per day at a threshold u are::

    clusters per day at the base level x P(peak > u)

with the tail of the peaks extrapolated where nothing was seen yet (peaks over threshold, in a
stream: SPOT; Siffer, Fouque, Termier, Largouët, KDD 2017). As in their DSPOT, everything is
relative to a local baseline, so that light that changes over the day moves no alarm.
"""

import io
import math
import zipfile
from collections import deque
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.alerts.events import EventMachine, Rule
from edge.alerts.null.reservoir import SIZE, Reservoir
from edge.alerts.null.tail import Tail, fit
from edge.video.sample import Arrival

DAY_S: Final = 86_400.0

# The baseline follows the margins with this time constant: clouds and dusk are slower, events
# faster.
_BASELINE_S: Final = 1800.0
# Share of samples that lie below the base level at first.
_BASE_SHARE: Final = 0.98
# A cluster ends after so many samples below, or the rule's ``off_after`` if that is shorter.
_MOST_BELOW: Final = 4
# The reservoir spans about a day at two samples a second, and all of it sets the base level.
_LONGEST_STRIDE: Final = 128
# Peaks kept. Full, the base level rises to their median, unless fewer than so many a day would be
# left: then the oldest half is forgotten.
_MOST_PEAKS: Final = 2048
_FEWEST_A_DAY: Final = 100.0
# A peak counts half after so long, in watched time.
_HALF_LIFE_S: Final = 14 * DAY_S
# An estimate says something from so many peaks on, and if its interval is within this factor.
_FEWEST_PEAKS: Final = 100
_WIDEST: Final = 10.0
_Z90: Final = 1.645
# No tail is quite of the family: so much of the hazard is uncertain besides. With it, intervals of
# nominally 90 % held the true rate in as many runs (benchmarks/false_alarms.py).
_MISFIT: Final = 0.03
# What is so more than a quarter of the time is no event but the scene: then frames of alerts are
# learned from as well, or a threshold that is far too low would never be corrected.
_ORDINARY_SHARE: Final = 0.25
_SHARE_S: Final = 6 * 3600.0
_SHARE_FROM_S: Final = 3600.0
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Estimate:
    """A threshold and what is known about it.

    Attributes:
        level: The threshold, above the baseline.
        hysteresis: That goes with it: half the way back to the baseline at most.
        per_day: False alarms per day that were asked for, or as near as the base level allows.
        low: The true rate at this threshold is at least this, with 95 %.
        high: At most this, with 95 %.
        watched_days: What it was learned from.
        peaks: Likewise, as a number of clusters; older ones count less.
    """

    level: float
    hysteresis: float
    per_day: float
    low: float
    high: float
    watched_days: float
    peaks: float


@dataclass(frozen=True, slots=True)
class _Known:
    """What the last fit said.

    Attributes:
        base: The base level, above the baseline.
        clusters_a_day: That reach it.
        peaks: The number of clusters that say so; older ones count less (Kish 1965).
    """

    base: float
    tail: Tail
    clusters_a_day: float
    peaks: float


class AlarmTail:
    """The null distribution of one rule on one camera, in bounded memory: 30 kB.

    Args:
        rule: How margins become alerts; its threshold does not matter here.
    """

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._machine = EventMachine(rule, lambda _at: "")
        self._recent: deque[float] = deque(maxlen=rule.on_of)
        self._bulk = Reservoir(_LONGEST_STRIDE)
        self._base: float | None = None
        self._peak = -math.inf  # of the cluster that runs
        self._limit = math.inf  # lowest threshold in force during it
        self._last_at: float | None = None
        self._samples = 0
        self._watched_s = 0.0
        self._since_s = 0.0  # watched time from which on the peaks are complete
        self._busy_share = 0.0
        self._busy_s = 0.0
        self._count = 0
        self._peaks = np.empty((3, _MOST_PEAKS), np.float32)  # peak, limit, days watched by then
        self._known: _Known | None = None
        self.baseline = 0.0

    def observe(
        self, margin: float, at: float, *, alerting: bool, threshold: float = math.inf
    ) -> None:
        """Learn from one sample.

        Args:
            margin: Finite.
            at: Monotonic seconds, not before the last one's.
            alerting: It belongs to an alert, true or false, and is left out.
            threshold: In force: a larger peak would have been an alert.

        Raises:
            ValueError: The margin is not finite.
        """
        if not math.isfinite(margin):
            raise ValueError(f"expected a finite margin, found {margin}")
        passed_s = self._passed(at)
        if alerting and not self._is_the_scene(passed_s):
            self._break_off()
            return
        if not alerting:
            self._busy(0.0, passed_s)
        self._watched_s += passed_s
        self._samples += 1
        value = margin - self.baseline if self._samples > 1 else 0.0
        share = max(1 / self._samples, min(1.0, passed_s / _BASELINE_S))
        self.baseline += share * (margin - self.baseline)
        self._recent.append(value)
        statistic = self._statistic(value)
        if self._bulk.add(statistic) or (self._base is None and len(self._bulk) == SIZE):
            self._set_base()
        if self._base is not None:
            self._cluster(value, statistic, at, threshold - self.baseline)

    def admit(self, peak: float) -> None:
        """Learn from an alert that was none: its peak is an ordinary one, though it was left out.

        Args:
            peak: That it reached, above the baseline of then.
        """
        self._keep(peak, math.inf)

    def estimate(self, per_day: float) -> Estimate | None:
        """The threshold for so many false alarms per day; None while too little was seen for it."""
        self._known = self._refit()
        if self._known is None:
            return None
        known, tail = self._known, self._known.tail
        hazard = max(0.0, math.log(known.clusters_a_day / per_day))
        excess = tail.excess(hazard)
        deviation = math.hypot(tail.deviation(excess), 1 / math.sqrt(known.peaks), _MISFIT * hazard)
        spread = math.exp(_Z90 * deviation)
        if not spread <= _WIDEST:
            return None
        level, expected = known.base + excess, known.clusters_a_day * math.exp(-hazard)
        return Estimate(
            level=level,
            hysteresis=self._hysteresis(level),
            per_day=expected,
            low=expected / spread,
            high=expected * spread,
            watched_days=self._watched_s / DAY_S,
            peaks=known.peaks,
        )

    def rate(self, level: float) -> float | None:
        """False alarms per day that reach a margin of ``level`` now, as of the last estimate.

        None: not known. Below the base level it is the base level's.
        """
        if self._known is None:
            return None
        excess = max(0.0, level - self.baseline - self._known.base)
        hazard = float(self._known.tail.hazards(np.array([excess]))[0])
        return self._known.clusters_a_day * math.exp(-hazard)

    def to_bytes(self) -> bytes:
        """All that was learned."""
        facts = [
            self.baseline, math.nan if self._base is None else self._base, self._samples,
            self._watched_s, self._since_s, self._busy_share, self._busy_s,
        ]  # fmt: skip
        file = io.BytesIO()
        np.savez(
            file,
            version=np.array(_VERSION),
            facts=np.array(facts, np.float64),
            peaks=self._peaks[:, : self._count],
            bulk=self._bulk.state(),
        )
        return file.getvalue()

    @classmethod
    def from_bytes(cls, rule: Rule, data: bytes) -> "AlarmTail":
        """What ``to_bytes`` wrote, for the same rule.

        Raises:
            ValueError: Damaged, or written by another version.
        """
        tail = cls(rule)
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                if int(file["version"]) != _VERSION:
                    raise ValueError(f"expected version {_VERSION}, found {file['version']}")
                facts, peaks = file["facts"], file["peaks"]
                tail._bulk.restore(file["bulk"])
        except (OSError, EOFError, KeyError, TypeError, zipfile.BadZipFile) as exc:
            raise ValueError(f"expected what a null distribution learned, found {exc!r}") from exc
        base = float(facts[1]) if len(facts) == 7 else math.inf
        finite = np.isfinite(np.delete(facts, 1)).all() and not math.isinf(base)
        if peaks.shape[:1] != (3,) or peaks.shape[1] > _MOST_PEAKS or not finite:
            raise ValueError("expected what a null distribution learned, found other numbers")
        tail.baseline, _, samples, *rest = (float(fact) for fact in facts)
        tail._watched_s, tail._since_s, tail._busy_share, tail._busy_s = rest
        tail._samples = int(samples)
        tail._count = peaks.shape[1]
        tail._peaks[:, : tail._count] = peaks
        if not math.isnan(base):
            tail._put_base(base)
        return tail

    def _passed(self, at: float) -> float:
        """Watched time since the last sample; a gap is not watched and cuts a cluster off."""
        passed_s = math.inf if self._last_at is None else at - self._last_at
        self._last_at = at
        if passed_s > self._rule.gap_s:
            self._break_off()
            return 0.0
        return passed_s

    def _is_the_scene(self, passed_s: float) -> bool:
        self._busy(1.0, passed_s)
        return self._busy_s > _SHARE_FROM_S and self._busy_share > _ORDINARY_SHARE

    def _busy(self, alerting: float, passed_s: float) -> None:
        self._busy_s += passed_s
        if self._busy_s > 0:
            share = passed_s / min(self._busy_s, _SHARE_S)
            self._busy_share += share * (alerting - self._busy_share)

    def _break_off(self) -> None:
        """Forget the cluster that runs: how it would have gone on is not known."""
        self._machine = EventMachine(self._machine.rule, lambda _at: "")
        self._recent.clear()
        self._peak, self._limit = -math.inf, math.inf

    def _statistic(self, newest: float) -> float:
        """The largest threshold that k of the last n samples reach, the newest among them."""
        if len(self._recent) < self._rule.on_for:
            return min(self._recent)
        if self._rule.on_for == 1:
            return newest
        return min(newest, sorted(self._recent)[-self._rule.on_for])

    def _set_base(self) -> None:
        """The base level as the bulk has it; peaks of a higher one are no complete list."""
        base = math.nextafter(self._bulk.quantile(_BASE_SHARE), math.inf)
        if self._base is None or base < self._base:
            self._put_base(base)
            self._count = 0
            self._since_s = self._watched_s

    def _put_base(self, base: float) -> None:
        """Cut clusters at ``base``.

        What hardly matters where alarms are rare matters here, where clusters come every minute. A
        cooldown would hide most of them: with ten minutes of it, thresholds alarmed 20 times too
        often. And ten seconds of samples that are all below may never come: then clusters hardly
        end, and nothing is learned (both measured on a Gaussian stream).
        """
        self._base = base
        apart_s = self._watched_s / self._samples if self._samples else math.inf
        self._machine.rule = replace(
            self._rule,
            threshold=base,
            hysteresis=self._hysteresis(base),
            off_after_s=min(self._rule.off_after_s, _MOST_BELOW * apart_s),
            cooldown_s=0.0,
            update_every_s=0.0,
        )

    def _hysteresis(self, level: float) -> float:
        return min(self._rule.hysteresis, max(0.0, level / 2))

    def _cluster(self, value: float, statistic: float, at: float, limit: float) -> None:
        transitions = self._machine.step(value, 0.0, Arrival(at, at, None))
        if any(transition.type == "end" for transition in transitions):
            self._keep_peak()
        if self._machine.alerting:
            self._peak = max(self._peak, statistic)
            self._limit = min(self._limit, limit)

    def _keep_peak(self) -> None:
        peak, limit = self._peak, self._limit
        self._peak, self._limit = -math.inf, math.inf
        self._keep(peak, limit)

    def _keep(self, peak: float, limit: float) -> None:
        if self._base is None or not self._base <= peak < limit:
            return
        if self._count == _MOST_PEAKS:
            self._make_room()
        self._peaks[:, self._count] = peak, limit, self._watched_s / DAY_S
        self._count += 1

    def _make_room(self) -> None:
        watched_days = (self._watched_s - self._since_s) / DAY_S
        if self._count / watched_days >= 2 * _FEWEST_A_DAY:
            self._put_base(float(np.median(self._peaks[0])))
            kept = self._peaks[0] >= np.float32(self._base)
        else:
            kept = np.arange(_MOST_PEAKS) >= _MOST_PEAKS // 2
            self._since_s = float(self._peaks[2, _MOST_PEAKS // 2]) * DAY_S
        self._count = int(kept.sum())
        self._peaks[:, : self._count] = self._peaks[:, kept]

    def _refit(self) -> _Known | None:
        if self._base is None or self._count < _FEWEST_PEAKS:
            return None
        excesses, limits, weights = self._weighted(self._base)
        tail = fit(excesses, limits, weights)
        if tail is None:
            return None
        seen = -np.expm1(-tail.hazards(limits))  # the chance that a peak was not above its limit
        watched = (self._watched_s - self._since_s) / _HALF_LIFE_S
        exposure_days = -math.expm1(-watched * math.log(2)) * _HALF_LIFE_S / math.log(2) / DAY_S
        return _Known(
            base=self._base,
            tail=tail,
            clusters_a_day=float((weights / seen).sum()) / exposure_days,
            peaks=float(weights.sum() ** 2 / (weights**2).sum()),
        )

    def _weighted(self, base: float) -> tuple[NDArray[np.float64], ...]:
        """Excesses over the base level, limits likewise, weights by age; float64 [n] each."""
        peaks, limits, days = self._peaks[:, : self._count].astype(np.float64)
        age_s = self._watched_s - days * DAY_S
        return np.maximum(0.0, peaks - base), limits - base, 0.5 ** (age_s / _HALF_LIFE_S)
