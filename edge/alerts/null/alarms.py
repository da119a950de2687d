"""Estimates how often a rule alarms on ordinary frames, and the threshold for a wanted rate.

It counts what the user would count: alerts. The stream of margins is cut into clusters, each of
which is one alert at a low *base level* (``clusters``). Alarms per day at a threshold u are then::

    clusters per day at the base level x P(peak > u)

The tail of the peaks is extrapolated to levels that were not seen yet (peaks over threshold, in a
stream: SPOT; Siffer, Fouque, Termier, Largouët, KDD 2017). As in their DSPOT, all values are
relative to a local baseline, so that light which changes over the day raises no alarm.
"""

import io
import math
import zipfile
from dataclasses import dataclass
from tokenize import TokenError
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.alerts.events import Rule
from edge.alerts.null.busy import BusyShare
from edge.alerts.null.clusters import Clusters
from edge.alerts.null.peaks import DAY_S, Peaks
from edge.alerts.null.reservoir import SIZE, Reservoir
from edge.alerts.null.tail import Tail, fit

# Time constant with which the baseline follows the margins: clouds and dusk are slower, events are
# faster.
_BASELINE_S: Final = 1800.0
# Share of samples that lie below the base level at first.
_BASE_SHARE: Final = 0.98
# The reservoir spans about a day at two samples a second, and all of it sets the base level.
_LONGEST_STRIDE: Final = 128
# An estimate needs this many peaks, and an interval within this factor.
_FEWEST_PEAKS: Final = 100
_WIDEST: Final = 10.0
_Z90: Final = 1.645
# No real tail is exactly of the fitted family: this share of the hazard is uncertain in addition.
# With it, intervals of nominally 90 % held the true rate in as many runs
# (benchmarks/studies/false_alarms).
_MISFIT: Final = 0.03
_VERSION: Final = 1
# A tail has less than a tenth.
_MOST_BYTES: Final = 1 << 20
# Errors with which NumPy and ``zipfile`` answer damaged bytes. A header of an array is Python text,
# hence the last two; RuntimeError stands for flags of a zip file that nobody wrote.
_DAMAGED: Final = (
    OSError,
    EOFError,
    KeyError,
    TypeError,
    zipfile.BadZipFile,
    RuntimeError,
    SyntaxError,
    TokenError,
)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A threshold and what is known about it.

    Attributes:
        level: The threshold, above the baseline.
        hysteresis: Hysteresis for this threshold: at most half the way back to the baseline.
        per_day: False alarms per day that were asked for, or as near as the base level allows.
        low: The true rate at this threshold is at least this, with 95 %.
        high: The true rate is at most this, with 95 %.
        watched_days: Days of watching that the estimate was learned from.
        peaks: Number of clusters that it was learned from; older ones count less.
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
    """Result of the last fit.

    Attributes:
        base: Base level, above the baseline.
        tail: Tail of the peaks over the base level.
        clusters_a_day: Clusters per day that reach the base level.
        peaks: Number of clusters behind the fit; older ones count less (Kish 1965).
    """

    base: float
    tail: Tail
    clusters_a_day: float
    peaks: float


class AlarmTail:
    """The null distribution of one rule on one camera, in bounded memory: 30 kB.

    Args:
        rule: Condition under which margins become alerts; its threshold does not matter here.

    Attributes:
        baseline: Slow mean of the margins.
    """

    def __init__(self, rule: Rule) -> None:
        self.baseline = 0.0
        self._gap_s = rule.gap_s
        self._clusters = Clusters(rule)
        self._bulk = Reservoir(_LONGEST_STRIDE)
        self._base: float | None = None
        self._last_at: float | None = None
        self._samples = 0
        self._watched_s = 0.0
        self._busy = BusyShare()
        self._peaks = Peaks()
        self._known: _Known | None = None

    @property
    def samples(self) -> int:
        """Number of samples that it has learned from."""
        return self._samples

    def observe(
        self, margin: float, at: float, *, alerting: bool, threshold: float = math.inf
    ) -> None:
        """Learn from one sample.

        Args:
            margin: Margin of the sample; finite.
            at: Monotonic seconds, not before those of the last sample.
            alerting: Whether the sample belongs to an alert, true or false; such a sample is left
                out.
            threshold: Threshold in force: a larger peak would have been an alert.

        Raises:
            ValueError: The margin is not finite.
        """
        if not math.isfinite(margin):
            raise ValueError(f"expected a finite margin, found {margin}")
        passed_s = self._passed(at)
        self._busy.add(passed_s, alerting=alerting)
        if alerting and not self._busy.is_the_scene:
            self._clusters.break_off()
            return
        self._watched_s += passed_s
        self._samples += 1
        value = margin - self.baseline if self._samples > 1 else 0.0
        share = max(1 / self._samples, min(1.0, passed_s / _BASELINE_S))
        self.baseline += share * (margin - self.baseline)
        statistic = self._clusters.push(value)
        if self._bulk.add(statistic) or (self._base is None and len(self._bulk) == SIZE):
            self._set_base()
        if self._base is not None:
            ended = self._clusters.step(value, statistic, at, threshold - self.baseline)
            if ended is not None:
                self._keep(*ended)

    def admit(self, peak: float) -> None:
        """Learn from an alert that was wrong: its peak is an ordinary one, though it was left out.

        Args:
            peak: Peak of the alert, above the baseline at that time.
        """
        self._keep(peak, math.inf)

    def estimate(self, per_day: float) -> Estimate | None:
        """Return the threshold for ``per_day`` false alarms a day; None if too little is known."""
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
            hysteresis=self._clusters.hysteresis(level),
            per_day=expected,
            low=expected / spread,
            high=expected * spread,
            watched_days=self._watched_s / DAY_S,
            peaks=known.peaks,
        )

    def rate(self, level: float) -> float | None:
        """Return the false alarms per day that reach a margin of ``level`` now.

        The rate comes from the last estimate; None where there is none. Below the base level it is
        the rate at the base level.
        """
        if self._known is None:
            return None
        excess = max(0.0, level - self.baseline - self._known.base)
        hazard = float(self._known.tail.hazards(np.array([excess]))[0])
        return self._known.clusters_a_day * math.exp(-hazard)

    def to_bytes(self) -> bytes:
        """Return all that was learned."""
        facts = [
            self.baseline, math.nan if self._base is None else self._base, self._samples,
            self._watched_s, self._peaks.since_s, self._busy.share, self._busy.seconds,
        ]  # fmt: skip
        file = io.BytesIO()
        np.savez(
            file,
            version=np.array(_VERSION),
            facts=np.array(facts, np.float64),
            peaks=self._peaks.table,
            bulk=self._bulk.state(),
        )
        return file.getvalue()

    @classmethod
    def from_bytes(cls, rule: Rule, data: bytes) -> "AlarmTail":
        """Read what ``to_bytes`` wrote for the same rule.

        Raises:
            ValueError: The bytes are damaged, or another version wrote them.
        """
        tail = cls(rule)
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                if sum(part.file_size for part in file.zip.infolist()) > _MOST_BYTES:
                    raise ValueError(f"expected at most {_MOST_BYTES} bytes, found more")
                if int(_numbers(file["version"])) != _VERSION:
                    raise ValueError(f"expected version {_VERSION}, found {file['version']}")
                facts, peaks, bulk = (_numbers(file[name]) for name in ("facts", "peaks", "bulk"))
                tail._bulk.restore(bulk)
        except _DAMAGED as exc:
            raise ValueError(f"expected what a null distribution learned, found {exc!r}") from exc
        whole = facts.shape == (7,) and np.isfinite(np.delete(facts, 1)).all()
        base = float(facts[1]) if whole else math.inf
        if math.isinf(base):
            raise ValueError("expected what a null distribution learned, found other numbers")
        tail.baseline, _, samples, watched_s, since_s, busy, busy_s = map(float, facts)
        tail._samples = int(samples)
        tail._watched_s = watched_s
        tail._busy = BusyShare(busy, busy_s)
        tail._peaks.restore(peaks, since_s)
        if not math.isnan(base):
            tail._cut_at(base)
        return tail

    def _passed(self, at: float) -> float:
        """Return the watched seconds since the last sample; a gap counts 0 and cuts a cluster."""
        passed_s = math.inf if self._last_at is None else at - self._last_at
        self._last_at = at
        if passed_s > self._gap_s:
            self._clusters.break_off()
            return 0.0
        return passed_s

    def _set_base(self) -> None:
        """Lower the base level to what the bulk says; peaks of a higher one are incomplete."""
        base = math.nextafter(self._bulk.quantile(_BASE_SHARE), math.inf)
        if self._base is None or base < self._base:
            self._cut_at(base)
            self._peaks.clear(self._watched_s)

    def _cut_at(self, base: float) -> None:
        self._base = base
        apart_s = self._watched_s / self._samples if self._samples else math.inf
        self._clusters.cut_at(base, apart_s)

    def _keep(self, peak: float, limit: float) -> None:
        if self._base is None or not self._base <= peak < limit:
            return
        if self._peaks.is_full:
            base = self._peaks.make_room(self._watched_s)
            if base is not None:
                self._cut_at(base)
        self._peaks.add(peak, limit, self._watched_s)

    def _refit(self) -> _Known | None:
        if self._base is None or len(self._peaks) < _FEWEST_PEAKS:
            return None
        excesses, limits, weights = self._peaks.weighted(self._base, self._watched_s)
        tail = fit(excesses, limits, weights)
        if tail is None:
            return None
        seen = -np.expm1(-tail.hazards(limits))  # the chance that a peak was not above its limit
        exposure_days = self._peaks.exposure_days(self._watched_s)
        return _Known(
            base=self._base,
            tail=tail,
            clusters_a_day=float((weights / seen).sum()) / exposure_days,
            peaks=float(weights.sum() ** 2 / (weights**2).sum()),
        )


def _numbers(part: object) -> NDArray[Any]:
    """Check that a part of a file is an array of numbers; NumPy gives bytes for other files."""
    if not isinstance(part, np.ndarray) or part.dtype.kind not in "fiu":
        raise ValueError("expected what a null distribution learned, found no numbers")
    return part
