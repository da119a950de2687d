"""Measures on each kind of stream: real false alarms, a closed loop, and the cost of a tail."""

import time
from dataclasses import replace
from itertools import islice
from typing import Final

import numpy as np

from benchmarks.studies.false_alarms.methods import ASKED, METHODS, learn
from benchmarks.studies.false_alarms.streams import CENTRE, DAY, FPS, SPREAD, margins
from benchmarks.studies.false_alarms.truth import Truth
from edge.alerts.events import EventMachine, Rule
from edge.alerts.null import AlarmTail
from edge.video.sample import Arrival

RULES: Final = {
    "2 of 3": Rule(threshold=0.0, hysteresis=0.05, on_for=2, on_of=3, off_after_s=2.0),
    # A single sample above the threshold is an alarm, as the textbook's tail counts.
    "1 of 1": Rule(threshold=0.0, hysteresis=0.05, on_for=1, on_of=1, off_after_s=2.0),
}


def measure(kind: str, rule: str, runs: int, days: int) -> list[dict[str, object]]:
    """Return the table's rows for one kind of stream and one rule.

    Args:
        kind: Key of ``STREAMS``.
        rule: Key of ``RULES``.
        runs: Number of streams on which every method learns thresholds.
        days: Length in days of the stream on which alarms are counted.

    Returns:
        One row per method and allowed rate. ``median``, ``low`` (5 %) and ``high`` (95 %) are real
        by allowed alarms per day; ``within_2``, ``within_4`` and ``covered`` are shares of the
        runs.
    """
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
    """Count the alarms on each day when the tail does not learn from samples that cause alarms.

    Args:
        kind: Key of ``STREAMS``.
        days: Length of the run.
        seed: Seed of the stream.
        asked: Allowed false alarms per day.
    """
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
            transitions = machine.step(margin, 0.0, Arrival(at, at, None))
            alarms += any(transition.type == "start" for transition in transitions)
            tail.observe(
                margin,
                at,
                alerting=machine.alerting or bool(transitions),
                threshold=machine.rule.threshold,
            )
            position += 1
        counts.append(alarms)
    return counts


def cost() -> dict[str, float]:
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
