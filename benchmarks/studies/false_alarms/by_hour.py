"""Counts the alarms of each hour of the day, of a usual rule and of one that asks for even hours.

``python -m benchmarks.studies.false_alarms --part hours``. The daemon's code runs in closed loop on
the kinds whose traffic knows the time; the counted days come after the warm-up.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from rich.table import Table

from benchmarks.studies.false_alarms.closed import SETTINGS, Setting, first_rule
from benchmarks.studies.false_alarms.quick import ClosedLoop
from benchmarks.studies.false_alarms.streams import DAY, FPS, stream
from benchmarks.studies.false_alarms.truth import Truth

KINDS: Final = ("street", "weekly", "rush hours", "queue", "Gaussian")
"""Kinds that know the hour; the last one does not, and is the control."""
ASKED: Final = SETTINGS[:2]

_HOUR: Final = int(3600 * FPS)
_QUIET: Final = (*range(7), *range(20, 24))  # hours of a street's night


@dataclass(frozen=True, slots=True)
class HoursRun:
    """What one run found.

    Attributes:
        kind: Kind of stream.
        seed: Seed of the stream.
        asked: Alarms per day that were asked for.
        even: Whether the rule asked for even hours.
        ratio: Alarms on the counted days by those asked for.
        within: Whether that is within the setting's factor of 1.
        by_hour: Alarms of the counted days in each hour of the day.
        wrong: Mean distance of the stated alarms by hour, at the end, from those counted without
            ``even``, in shares of all alarms, 0..1: half the sum of absolute differences. None with
            ``even``, and where nothing was stated or came.
    """

    kind: str
    seed: int
    asked: float
    even: bool
    ratio: float
    within: bool
    by_hour: tuple[int, ...]
    wrong: float | None

    def row(self) -> dict[str, object]:
        """Return all of it by name."""
        return asdict(self)


def run_hours(kind: str, seed: int, setting: Setting, truth: Truth, *, even: bool) -> HoursRun:
    """Learn on a stream, and count by hour.

    Args:
        kind: Its kind.
        seed: Its seed.
        setting: What is asked for.
        truth: True rates of the kind.
        even: Whether the rule asks for even hours.
    """
    loop = ClosedLoop(first_rule(kind, truth), setting.asked, even=even)
    for day in islice(stream(kind, seed), setting.days):
        for hour in day.margins.reshape(-1, _HOUR):
            loop.watch(hour)
    counted = np.array([at for at in loop.alarms if at >= setting.warm_up * DAY], np.int64)
    by_hour = np.bincount(counted % DAY // _HOUR, minlength=24)
    ratio = len(counted) / (setting.counted * setting.asked)
    estimate = loop.calibration.report().estimate
    wrong = None
    if estimate is not None and estimate.by_hour is not None and not even and len(counted):
        working, weekends = np.nan_to_num(np.array(estimate.by_hour, float)).reshape(2, 24)
        stated = 5 * working + 2 * weekends
        wrong = float(np.abs(stated / stated.sum() - by_hour / by_hour.sum()).sum() / 2)
    within = 1 / setting.factor <= ratio <= setting.factor
    counts = tuple(by_hour.tolist())
    return HoursRun(kind, seed, setting.asked, even, ratio, within, counts, wrong)


def hours_table(runs: Sequence[HoursRun]) -> Table:
    """Return the table: how many alarms came, and which share by night and in the busiest hour."""
    table = Table(
        "stream", "asked", "even", "measured by asked", "within", "by night (46 % if even)",
        "busiest hour", title="Alarms by hour of the day",
    )  # fmt: skip
    for kind, asked, even in dict.fromkeys((run.kind, run.asked, run.even) for run in runs):
        own = [run for run in runs if (run.kind, run.asked, run.even) == (kind, asked, even)]
        counts = np.sum([run.by_hour for run in own], axis=0)
        all_ = max(1, int(counts.sum()))
        table.add_row(
            kind, f"{asked:g}/day", "even" if even else "",
            f"{np.median([run.ratio for run in own]):.2f}",
            f"{np.mean([run.within for run in own]):.0%}",
            f"{counts[list(_QUIET)].sum() / all_:.0%}", f"{counts.max() / all_:.0%}",
        )  # fmt: skip
    return table


def plot_hours(path: Path, runs: Sequence[HoursRun]) -> None:
    """Draw the alarms by hour, one panel for each kind and rate.

    Args:
        path: Picture to write.
        runs: The runs.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415  an extra

    kinds = list(dict.fromkeys(run.kind for run in runs))
    asked = list(dict.fromkeys(run.asked for run in runs))
    figure = Figure(figsize=(4 * len(kinds), 3 * len(asked)), dpi=110, layout="constrained")
    grid = figure.subplots(len(asked), len(kinds), squeeze=False)
    for axes, (rate, kind) in zip(
        grid.flat, ((rate, kind) for rate in asked for kind in kinds), strict=True
    ):
        for even in (False, True):
            own = [run for run in runs if (run.kind, run.asked, run.even) == (kind, rate, even)]
            if own:
                counts = np.mean([run.by_hour for run in own], axis=0)
                axes.step(range(24), counts, where="mid", label="even" if even else "as usual")
        axes.set(title=f"{kind}, {rate:g} a day", xlabel="hour", ylabel="alarms")
    figure.legend(*grid.flat[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    figure.savefig(path)
