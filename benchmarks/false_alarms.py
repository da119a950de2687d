"""Compares the allowed false alarms per day with the alarms that thresholds really cause.

``python -m benchmarks.false_alarms`` learns thresholds on streams with known properties
(``streams``) and counts the alarms that each causes on a very long stream of the same kind. The
other methods are a fixed threshold that was right on another camera, a running z-score, and the
textbook's tail (generalized Pareto by probability-weighted moments, Hosking and Wallis 1987, above
the 99 % quantile of single samples). The event machine itself makes and counts the alarms.
"""

import json
import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Annotated, Final

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy import signal, stats

from benchmarks.streams import CENTRE, DAY, FPS, SPREAD, STREAMS, is_night, margins
from edge.alerts.events import EventMachine, Rule
from edge.alerts.null import AlarmTail
from edge.video.sample import Arrival

RULES: Final = {
    "2 of 3": Rule(threshold=0.0, hysteresis=0.05, on_for=2, on_of=3, off_after_s=2.0),
    # A single sample above the threshold is an alarm, as the textbook's tail counts.
    "1 of 1": Rule(threshold=0.0, hysteresis=0.05, on_for=1, on_of=1, off_after_s=2.0),
}
ASKED: Final = ((10.0, 1), (1.0, 7), (0.1, 7))  # false alarms a day, days of warm-up
METHODS: Final = ("ours", "Pareto (PWM)", "running z-score", "fixed")
# Time constant of the baseline in edge.alerts.null.alarms.
_BASELINE_S: Final = 1800.0
# Levels at which the long stream's alarms are counted, in alarms per day.
_RATES: Final = (0.02, 500.0)
_LEVELS: Final = 20


@dataclass(frozen=True, slots=True)
class Learned:
    """Threshold of one run.

    Attributes:
        level: Margin above the baseline for our method, absolute margin for the others.
        low, high: Bounds of the true rate relative to the allowed one, for our method only.
    """

    method: str
    asked: float
    days: int
    level: float
    low: float = math.nan
    high: float = math.nan


class Truth:
    """Alarms per day of a long stream at any level, counted at some levels and interpolated."""

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
        return float(np.exp(np.interp(level, self._levels, self._log_rates)))


def _long(kind: str, days: int, *, relative: bool, night: bool | None) -> NDArray[np.float32]:
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


def learn(kind: str, rule: Rule, seed: int) -> list[Learned]:
    """Learn the thresholds of one run with every method."""
    rng = np.random.default_rng([seed, 77])
    found = []
    tails = [AlarmTail(rule)] * 2 if kind != "day and night" else [AlarmTail(rule), AlarmTail(rule)]
    seen: list[NDArray[np.float64]] = []
    position = 0
    for day in islice(margins(kind, seed), max(days for _, days in ASKED)):
        seen.append(day)
        for margin in day.tolist():
            tails[is_night(position)].observe(margin, position / FPS, alerting=False)
            position += 1
        past = np.concatenate(seen)
        for asked, days in ASKED:
            if days == len(seen):
                if (estimate := tails[0].estimate(asked)) is not None:
                    low, high = estimate.low / asked, estimate.high / asked
                    found.append(Learned("ours", asked, days, estimate.level, low, high))
                found += [
                    Learned("Pareto (PWM)", asked, days, _pareto(past, asked)),
                    Learned("running z-score", asked, days, _z_score(past, asked)),
                    Learned("fixed", asked, days, _fixed(rng, asked)),
                ]
    return found


def _pareto(past: NDArray[np.float64], asked: float) -> float:
    base = np.quantile(past, 0.99)
    z = np.sort(past[past > base] - base)
    place = (np.arange(len(z)) + 0.65) / len(z)
    mean, weighted = z.mean(), (z * (1 - place)).mean()
    shape = 2 - mean / (mean - 2 * weighted)
    scale = 2 * mean * weighted / (mean - 2 * weighted)
    share = asked / (0.01 * DAY)
    return float(base + scale * (share**-shape - 1) / shape)


def _z_score(past: NDArray[np.float64], asked: float) -> float:
    return float(past.mean() + stats.norm.isf(asked / DAY) * past.std())


def _fixed(rng: np.random.Generator, asked: float) -> float:
    """Return a threshold that is right for a Gaussian camera with another mean and spread.

    The means of cameras differ by one spread, their spreads by a quarter (assumed).
    """
    spread = SPREAD * math.exp(0.25 * rng.normal())
    return float(CENTRE + SPREAD * rng.normal() + spread * stats.norm.isf(asked / DAY))


def measure(kind: str, rule: str, runs: int, days: int) -> list[dict[str, object]]:
    """Return the table's rows for one kind of stream."""
    night = False if kind == "day and night" else None
    truths = {
        True: Truth(kind, RULES[rule], days, relative=True, night=night),
        False: Truth(kind, RULES[rule], days, relative=False),
    }
    learned = [one for seed in range(runs) for one in learn(kind, RULES[rule], seed)]
    rows: list[dict[str, object]] = []
    for method in METHODS:
        for asked, warm_up in ASKED:
            own = [one for one in learned if (one.method, one.asked) == (method, asked)]
            ratios = np.array([truths[method == "ours"].rate(one.level) / asked for one in own])
            if not own:
                continue
            rows.append(
                {
                    "stream": kind,
                    "rule": rule,
                    "method": method,
                    "asked": asked,
                    "warm_up_days": warm_up,
                    "runs": len(own),
                    "median": float(np.median(ratios)),
                    "low": float(np.quantile(ratios, 0.05)),
                    "high": float(np.quantile(ratios, 0.95)),
                    "within_2": float(np.mean((ratios >= 0.5) & (ratios <= 2))),
                    "within_4": float(np.mean((ratios >= 0.25) & (ratios <= 4))),
                    "covered": float(
                        np.mean(
                            [one.low <= r <= one.high for one, r in zip(own, ratios, strict=True)]
                        )
                    ),
                }
            )
    return rows


def closed_loop(kind: str, days: int, seed: int = 0, asked: float = 1.0) -> list[int]:
    """Count the alarms on each day when samples that cause alarms are not learned from."""
    rule = RULES["2 of 3"]
    tail, machine = AlarmTail(rule), EventMachine(rule, lambda _at: "")
    counts, position, estimate = [], 0, None
    for day in islice(margins(kind, seed + 500), days):
        alarms = 0
        for margin in day.tolist():
            at = position / FPS
            if position % 3600 == 0:
                estimate = tail.estimate(asked)
            if estimate is None:
                machine.rule = replace(rule, threshold=CENTRE + 4 * SPREAD)
            else:
                level = tail.baseline + estimate.level
                machine.rule = replace(rule, threshold=level, hysteresis=estimate.hysteresis)
            told = machine.step(margin, 0.0, Arrival(at, at, None))
            alarms += any(transition.type == "start" for transition in told)
            tail.observe(
                margin,
                at,
                alerting=machine.alerting or bool(told),
                threshold=machine.rule.threshold,
            )
            position += 1
        counts.append(alarms)
    return counts


def _cost() -> dict[str, float]:
    """Measure one tail after a day: time per sample and per estimate, size on disk."""
    tail = AlarmTail(RULES["2 of 3"])
    day = next(margins("Gaussian", 3)).tolist()
    began = time.perf_counter()
    for position, margin in enumerate(day):
        tail.observe(margin, position / FPS, alerting=False)
    per_sample = (time.perf_counter() - began) / DAY * 1e6
    began = time.perf_counter()
    tail.estimate(1.0)
    return {
        "sample_us": per_sample,
        "estimate_ms": (time.perf_counter() - began) * 1e3,
        "bytes": float(len(tail.to_bytes())),
    }


def _jobs(
    runs: int, days: int, kinds: Sequence[str], rules: Sequence[str]
) -> Iterator[dict[str, object]]:
    jobs = [(kind, rule, runs, days) for rule in rules for kind in kinds]
    with ProcessPoolExecutor(2) as pool:
        for rows in pool.map(measure, *zip(*jobs, strict=True)):
            yield from rows


def main(
    runs: Annotated[int, typer.Option(help="Thresholds learned for each kind.", min=1)] = 20,
    days: Annotated[int, typer.Option(help="Length of the stream that counts.", min=20)] = 300,
    stream: Annotated[list[str] | None, typer.Option(help="Only these. Repeatable.")] = None,
    rule: Annotated[list[str] | None, typer.Option(help="Only these. Repeatable.")] = None,
    loop_days: Annotated[int, typer.Option(help="Days of the closed loop; 0 leaves it out.")] = 30,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="The rows as JSON.")] = False,
) -> None:
    """Asked against measured false alarms per day, on streams of known habits."""
    kinds = stream or list(STREAMS)
    console = Console(width=120, quiet=as_json)
    rows = list(_jobs(runs, days, kinds, rule or list(RULES)))
    table = Table(
        "rule",
        "stream",
        "method",
        "asked",
        "warm-up",
        "median",
        "5..95 %",
        "x2",
        "x4",
        "in interval",
    )
    for row in rows:
        table.add_row(
            str(row["rule"]), str(row["stream"]), str(row["method"]), f"{row['asked']:g}/day",
            f"{row['warm_up_days']} d", f"{row['median']:.2f}",
            f"{row['low']:.2f}..{row['high']:.2f}", f"{row['within_2']:.0%}",
            f"{row['within_4']:.0%}", f"{row['covered']:.0%}" if row["method"] == "ours" else "",
        )  # fmt: skip
    console.print(table)
    loops = {}
    if loop_days:
        with ProcessPoolExecutor(2) as pool:
            names = [kind for kind in ("Gaussian", "correlated 5 s") if kind in STREAMS]
            loops = dict(zip(names, pool.map(closed_loop, names, [loop_days] * 2), strict=True))
    for kind, counts in loops.items():
        console.print(f"closed loop, {kind}, asked 1 a day: {counts}")
    cost = _cost()
    console.print(cost)
    if as_json:
        typer.echo(json.dumps({"rows": rows, "closed_loop": loops, "cost": cost}))


if __name__ == "__main__":
    typer.run(main)
