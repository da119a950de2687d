"""Counts the decisions that differ between a version of a clip and the unchanged clip."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich.table import Table

from benchmarks.studies.decisions.methods import Decided
from benchmarks.studies.decisions.versions import PASSES
from calibration.judge import Judgement, events_of, judge


@dataclass(frozen=True, slots=True)
class DecisionChange:
    """Result of one method on one version, over rules and clips.

    Attributes:
        samples: Number of compared samples.
        agreeing: Number of samples that are hits in both or in neither.
        lost: Number of events hit on the unchanged clip and missed here.
        gained: Number of events missed on the unchanged clip and hit here.
        verdict: Comparison with the labels.
    """

    samples: int
    agreeing: int
    lost: int
    gained: int
    verdict: Judgement


def summed(cases: Sequence[tuple[Decided, Decided]]) -> DecisionChange:
    """Sum up the decisions over rules and clips.

    Args:
        cases: Decisions on the version and on the unchanged clip, one pair per rule and clip.
    """
    samples = agreeing = lost = gained = 0
    for now, before in cases:
        order = np.abs(
            np.subtract.outer(np.array(now.trace.times), np.array(before.trace.times))
        ).argmin(axis=1)  # a clip encoded anew may have a frame more or less
        samples += len(order)
        agreeing += int((now.hits == before.hits[order]).sum())
        pairs = zip(events_of(now.trace, PASSES), events_of(before.trace, PASSES), strict=True)
        for here, there in pairs:
            lost += here.alert is None and there.alert is not None
            gained += here.alert is not None and there.alert is None
    verdict = judge([now.trace for now, _ in cases], PASSES)
    return DecisionChange(samples, agreeing, lost, gained, verdict)


def table(title: str, rows: Mapping[tuple[str, str], DecisionChange]) -> Table:
    """Return a table with a row for each version and method."""
    result = Table(title=title)
    for column in ("variant", "decided on", "samples alike", "events hit", "lost", "gained",
                   "false alarms", "under alert"):  # fmt: skip
        result.add_column(column)
    for (version, method), change in rows.items():
        under = change.verdict.under_alert
        result.add_row(
            version,
            method,
            f"{change.agreeing / change.samples:.1%}",
            f"{change.verdict.recall.count}/{change.verdict.recall.of}",
            str(change.lost),
            str(change.gained),
            str(change.verdict.false_alarms.count),
            "" if under is None else f"{under:.0%}",
        )
    return result


def records(rows: Mapping[tuple[str, str], DecisionChange]) -> list[dict[str, object]]:
    """Return the same rows for JSON."""
    return [
        {
            "variant": version,
            "method": method,
            "samples": change.samples,
            "agreeing": change.agreeing,
            "lost": change.lost,
            "gained": change.gained,
            "hit": change.verdict.recall.count,
            "events": change.verdict.recall.of,
            "false": change.verdict.false_alarms.count,
            "under_alert": change.verdict.under_alert,
        }
        for (version, method), change in rows.items()
    ]
