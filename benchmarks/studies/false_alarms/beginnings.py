"""Measures the first hour, day and week, from each side that a rule may start from.

``python -m benchmarks.studies.false_alarms --part start``. The daemon's code runs in closed loop.
The first threshold is two spreads above the centre of made streams, where a stream of noise alarms
hundreds of times a day: the bundle's threshold does not know the camera.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from rich.table import Table

from benchmarks.studies.false_alarms.closed import HEIGHTS, first_rule, tried
from benchmarks.studies.false_alarms.quick import ClosedLoop
from benchmarks.studies.false_alarms.streams import FPS, RECORDED, stream
from benchmarks.studies.false_alarms.truth import Truth
from edge.alerts.null import Start

KINDS: Final = (
    "Gaussian", "correlated 60 s", "street", "tree", "rush hours", "day and night",
    "recorded: a person walking", "recorded: a hand grabbing a bottle",
)  # fmt: skip
"""Kinds of streams."""
ASKED: Final = 1.0
"""Alarms per day that are asked for."""
SIDES: Final[tuple[Start | None, ...]] = ("quiet", None, "loud")
STAGES: Final = {"first hour": 1, "first day": 24, "first week": 168, "second week": 336}
"""Last hour of each stage."""

_HOUR: Final = int(3600 * FPS)
_PIECE: Final = _HOUR // 12
_FIRST: Final = 2.0  # spreads
_HEIGHT: Final = HEIGHTS.index(3)


@dataclass(frozen=True, slots=True)
class StartRun:
    """What one run found.

    Attributes:
        kind: Kind of stream.
        seed: Seed of the stream.
        start: Side from which the threshold came; None: the middle.
        alarms: Alarms in each stage; the second week does not count the first.
        recall: Share of events three spreads above the true level of the asked rate that would have
            alerted, in each stage.
    """

    kind: str
    seed: int
    start: Start | None
    alarms: tuple[int, ...]
    recall: tuple[float, ...]

    def row(self) -> dict[str, object]:
        """Return all of it by name."""
        return asdict(self)


def run_start(kind: str, seed: int, truth: Truth, start: Start | None) -> StartRun:
    """Watch the first two weeks of a stream.

    Args:
        kind: Its kind.
        seed: Its seed.
        truth: True rates of the kind.
        start: Side to start from.
    """
    first = first_rule(kind, truth)
    if kind not in RECORDED:
        first = replace(first, threshold=truth.centre + _FIRST * truth.spread)
    loop, rng = ClosedLoop(first, ASKED, start=start), np.random.default_rng([seed, 9])
    oracle, found, hour = truth.level(ASKED), [], 0
    for day in islice(stream(kind, seed), STAGES["second week"] // 24):
        for margins in day.margins.reshape(-1, _HOUR):
            # The threshold moves fastest in the first hour.
            for piece in margins.reshape(12 if hour == 0 else 1, -1):
                loop.watch(piece)
                own, _ = tried(loop, oracle, truth.spread, rng)
                found.append((hour, own[_HEIGHT]))
            hour += 1
    hours = np.array(loop.alarms, np.int64) // _HOUR
    begins = (0, 0, 0, STAGES["first week"])
    stages = list(zip(begins, STAGES.values(), strict=True))
    alarms = [int(((hours >= low) & (hours < end)).sum()) for low, end in stages]
    recall = [
        float(np.mean([caught for at, caught in found if low <= at < end])) for low, end in stages
    ]
    return StartRun(kind, seed, start, tuple(alarms), tuple(recall))


def start_table(runs: Sequence[StartRun]) -> Table:
    """Return the table: mean alarms and recall in each stage."""
    table = Table("stream", "start", *STAGES, title="Mean alarms, and recall, with 1 a day asked")
    for kind, start in dict.fromkeys((run.kind, run.start) for run in runs):
        own = [run for run in runs if (run.kind, run.start) == (kind, start)]
        alarms, recall = (
            np.mean([getattr(run, name) for run in own], axis=0) for name in ("alarms", "recall")
        )
        cells = [f"{came:.1f}, {caught:.2f}" for came, caught in zip(alarms, recall, strict=True)]
        table.add_row(kind, start or "", *cells)
    return table


def plot_start(path: Path, runs: Sequence[StartRun]) -> None:
    """Draw alarms and recall by stage, one column for each kind.

    Args:
        path: Picture to write.
        runs: The runs.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415  an extra

    kinds = list(dict.fromkeys(run.kind for run in runs))
    figure = Figure(figsize=(3.2 * len(kinds), 5.5), dpi=110, layout="constrained")
    grid = figure.subplots(2, len(kinds), squeeze=False, sharey="row")
    for kind, alarms, recall in zip(kinds, *grid, strict=True):
        for start in SIDES:
            own = [run for run in runs if (run.kind, run.start) == (kind, start)]
            if own:
                label = start or "between"
                alarms.plot(list(STAGES), np.mean([run.alarms for run in own], axis=0), label=label)
                recall.plot(list(STAGES), np.mean([run.recall for run in own], axis=0))
        alarms.set(title=kind, yscale="symlog", ylim=(0, None))
        recall.set(ylim=(-0.05, 1.05))
        for axes in (alarms, recall):
            axes.tick_params("x", rotation=30)
    grid[0, 0].set(ylabel="alarms")
    grid[1, 0].set(ylabel="recall")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    figure.savefig(path)
