"""Other methods on the same streams, in closed loop: each day has the threshold of the days before.

What alarmed is left out of what they learn, except by count matching. Those that are relative to a
moving mean say so; the daemon's own method is in ``closed``.
"""

import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import signal, stats

from benchmarks.studies.false_alarms.closed import (
    RULE,
    SETTINGS,
    Setting,
    comes_from,
    with_events,
)
from benchmarks.studies.false_alarms.streams import DAY, FPS, StreamDay
from benchmarks.studies.false_alarms.truth import Truth, alerts, from_start, with_hysteresis

_DAYS: Final = 7  # that each method remembers
_MEAN_S: Final = 1800.0  # of the moving mean
_TOP: Final = 0.05  # share of the samples that the Pareto tail keeps
_HIGHEST: Final = 200  # peaks of a day that are kept

_Values = NDArray[np.float64]


class Method(Protocol):
    """A way to a threshold.

    Attributes:
        relative: Whether it works on margins above a moving mean.
    """

    relative: bool

    def learn(self, values: _Values, alarmed: NDArray[np.bool_], peaks: _Values) -> None:
        """Learn from a day: samples [n], whether each belongs to an alert, peaks of clusters."""
        ...

    def level(self, asked: float) -> float:
        """Return the threshold for so many alarms per day."""
        ...


class ZScore:
    """Mean and standard deviation of the last days, and the Gaussian law."""

    relative = False

    def __init__(self) -> None:
        self._sums: deque[tuple[int, float, float]] = deque(maxlen=_DAYS)

    def learn(self, values: _Values, alarmed: NDArray[np.bool_], peaks: _Values) -> None:  # noqa: ARG002  the protocol's
        quiet = values[~alarmed]
        self._sums.append((len(quiet), float(quiet.sum()), float((quiet**2).sum())))

    def level(self, asked: float) -> float:
        count, total, squares = map(sum, zip(*self._sums, strict=True))
        mean = total / count
        spread = math.sqrt(max(0.0, squares / count - mean**2))
        return float(mean + stats.norm.isf(asked / DAY) * spread)


class FixedLevel:
    """A threshold that is right for a Gaussian camera with another mean and spread.

    The means of cameras differ by one spread, their spreads by a quarter (assumed).
    """

    relative = False

    def __init__(self, truth: Truth, rng: np.random.Generator) -> None:
        self._mean = truth.centre + truth.spread * rng.normal()
        self._spread = truth.spread * math.exp(0.25 * rng.normal())

    def learn(self, values: _Values, alarmed: NDArray[np.bool_], peaks: _Values) -> None:
        pass

    def level(self, asked: float) -> float:
        return float(self._mean + self._spread * stats.norm.isf(asked / DAY))


class ParetoTail:
    """The textbook's tail: generalized Pareto over the 99 % quantile of single samples.

    It is fitted by probability-weighted moments (Hosking and Wallis 1987).
    """

    relative = False

    def __init__(self) -> None:
        self._tops: deque[tuple[int, _Values]] = deque(maxlen=_DAYS)

    def learn(self, values: _Values, alarmed: NDArray[np.bool_], peaks: _Values) -> None:  # noqa: ARG002  the protocol's
        quiet = values[~alarmed]
        kept = max(1, int(_TOP * len(quiet)))
        self._tops.append((len(quiet), np.partition(quiet, -kept)[-kept:]))

    def level(self, asked: float) -> float:
        count = sum(one for one, _ in self._tops)
        top = np.sort(np.concatenate([values for _, values in self._tops]))[-count // 100 :]
        z = top - top[0]
        place = (np.arange(len(z)) + 0.65) / len(z)
        mean, weighted = z.mean(), (z * (1 - place)).mean()
        shape = 2 - mean / (mean - 2 * weighted)
        scale = 2 * mean * weighted / (mean - 2 * weighted)
        share = asked / (0.01 * DAY)
        return float(top[0] + scale * (share**-shape - 1) / shape)


class CountMatching:
    """The level that the clusters of the last days reached as often as was asked for."""

    relative = True

    def __init__(self) -> None:
        self._peaks: deque[_Values] = deque(maxlen=_DAYS)

    def learn(self, values: _Values, alarmed: NDArray[np.bool_], peaks: _Values) -> None:  # noqa: ARG002  the protocol's
        self._peaks.append(peaks)

    def level(self, asked: float) -> float:
        highest = np.sort(np.concatenate(self._peaks))[::-1]
        wanted = max(1, round(asked * len(self._peaks)))
        return float(highest[min(wanted, len(highest)) - 1])


class Spot:
    """SPOT and DSPOT (Siffer and others 2017), as ``libspot`` has them: alarms do not teach.

    Args:
        package: The package ``libspot``.
        asked: Alarms per day.
        relative: Whether it is DSPOT.
    """

    def __init__(self, package: Any, asked: float, *, relative: bool) -> None:
        self.relative = relative
        self._spot = package.Spot(
            q=asked / DAY, low=False, discard_anomalies=True, level=0.98, max_excess=500
        )
        self._fitted = False

    def learn(self, values: _Values, alarmed: NDArray[np.bool_], peaks: _Values) -> None:  # noqa: ARG002  the protocol's
        if not self._fitted:
            self._spot.fit(values)
            self._fitted = True
            return
        step = self._spot.step
        for value in values.tolist():
            step(value)

    def level(self, asked: float) -> float:  # noqa: ARG002  the constructor's
        return float(self._spot.anomaly_threshold)


def run_others(
    days: Sequence[StreamDay],
    kind: str,
    seed: int,
    truth: Truth,
    libspot: Any | None,
    planted: float = 0.0,
) -> list[dict[str, object]]:
    """Return the measured by the asked alarms, for each method and setting on one stream.

    Args:
        days: Days of the stream, as many as the longest setting has.
        kind: Its kind.
        seed: Its seed.
        truth: Where the kind's margins lie.
        libspot: The package, or None to leave its methods out. They take as long as all the rest,
            so they run on every other stream, and for one alarm a day.
        planted: Real events per day in the stream, three spreads above the true level. ``caught``
            is the share of them that alerted on the counted days; None without any.
    """
    rows: list[dict[str, object]] = []
    for setting in SETTINGS:
        methods: dict[str, Method] = {
            "running z-score": ZScore(),
            "fixed": FixedLevel(truth, np.random.default_rng([seed, 77])),
            "Pareto (PWM)": ParetoTail(),
            "count matching": CountMatching(),
        }
        if libspot is not None and setting.asked == 1 and seed % 2 == 0:
            for name, relative in (("SPOT", False), ("DSPOT", True)):
                methods[name] = Spot(libspot, setting.asked, relative=relative)
        above = truth.level(setting.asked) + 3 * truth.spread
        both = [
            with_events(day, above, planted, seed, number)
            for number, day in enumerate(days[: setting.days])
        ]
        for name, (false, caught) in _run_setting(both, setting, methods, truth).items():
            ratio = false / (setting.counted * setting.asked)
            rows.append(
                {
                    "kind": kind, "seed": seed, "method": name, "asked": setting.asked,
                    "ratio": ratio, "within": 1 / setting.factor <= ratio <= setting.factor,
                    "caught": caught,
                }
            )  # fmt: skip
    return rows


def _run_setting(
    days: Sequence[tuple[_Values, list[int]]],
    setting: Setting,
    methods: Mapping[str, Method],
    truth: Truth,
) -> dict[str, tuple[int, float | None]]:
    """Return the false alarms and the share of real events caught on the counted days, by method.

    Args:
        days: Margins, and the samples at which real events begin.
        setting: What is asked for.
        methods: The methods.
        truth: Where the kind's margins lie.
    """
    false, caught, events = Counter[str](), Counter[str](), 0
    moving = np.zeros(1)
    for number, (day, starts) in enumerate(days):
        mean, moving = _moving_mean(day, moving, first=not number)
        by_relative = {relative: day - mean if relative else day for relative in (True, False)}
        statistic = {key: from_start(values, RULE) for key, values in by_relative.items()}
        peaks = _peaks(by_relative[True], statistic[True])
        counted = number >= setting.warm_up
        events += len(starts) if counted else 0
        for name, method in methods.items():
            values, alarmed = by_relative[method.relative], np.zeros(DAY, np.bool_)
            if number:
                level = method.level(setting.asked)
                above = level if method.relative else level - truth.centre
                rule = with_hysteresis(RULE, above)
                found = alerts(values, statistic[method.relative], level, rule)
                if counted:
                    pairs = [
                        (start, at) for start in starts for at, _ in found if comes_from(start, at)
                    ]
                    false[name] += len(found) - len({at for _, at in pairs})
                    caught[name] += len({start for start, _ in pairs})
                for start, end in found:
                    alarmed[start : end + 1] = True
            # What is there for most of the day is the scene.
            method.learn(values, alarmed & (alarmed.mean() < 0.25), peaks)
    return {name: (false[name], caught[name] / events if events else None) for name in methods}


def _moving_mean(day: _Values, state: _Values, *, first: bool) -> tuple[_Values, _Values]:
    """Return the exponential mean before each sample of a day, and the filter's state."""
    share = 1 / (FPS * _MEAN_S)
    if first:
        state = np.array([(1 - share) * day[0]])
    before = state[0] / (1 - share)
    after, state = signal.lfilter([share], [1, share - 1], day, zi=state)
    return np.concatenate([[before], after[:-1]]), state


def _peaks(values: _Values, statistic: _Values) -> _Values:
    """Return the highest values at which clusters of a day would alert: as count matching does."""
    base = float(np.quantile(statistic, 0.98))
    rule = with_hysteresis(RULE, base)
    found: Sequence[tuple[int, int]] = alerts(values, statistic, base, rule)
    peaks = np.array([statistic[start : end + 1].max() for start, end in found])
    return np.sort(peaks)[-_HIGHEST:]
