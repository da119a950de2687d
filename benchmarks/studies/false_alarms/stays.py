"""Plants visits in what is learned: two real events, and somebody who stays between them.

``python -m benchmarks.studies.false_alarms --part stays``. One visit a day comes, in the days of
learning, too. While a person stays the margins are higher, but below the threshold. Asked is
whether his second event alerts, whether later events do, and whether the threshold rises.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.studies.false_alarms.closed import (
    EVENT,
    SETTINGS,
    Setting,
    comes_from,
    first_rule,
)
from benchmarks.studies.false_alarms.quick import ClosedLoop
from benchmarks.studies.false_alarms.streams import DAY, FPS, stream
from benchmarks.studies.false_alarms.truth import Truth

KINDS: Final = ("Gaussian", "street", "tree", "jumps")
"""Kinds of streams."""
ASKED: Final = SETTINGS[:2]
STAYS: Final = ((0.0, 4.0), (1.5, 1.5), (1.5, 8.0))
"""Spreads by which the margins are higher while somebody stays, and minutes; nobody at first."""

_HOUR: Final = int(3600 * FPS)
_HEIGHT: Final = 3.0  # of an event above the right level, in spreads
_SURELY: Final = 2.7  # what its flicker leaves


@dataclass(frozen=True, slots=True)
class StaysRun:
    """What one run found.

    Attributes:
        kind: Kind of stream.
        seed: Seed of the stream.
        asked: Alarms per day that were asked for.
        raised: Spreads by which the margins are higher while somebody stays.
        minutes: Minutes between the two events.
        first: Share of the visits on the counted days whose first event alerted.
        second: The same for their second event.
        later: Share of the counted hours at whose end an event of three spreads above the right
            level would have alerted.
        ratio: False alarms on the counted days by those asked for.
        above: Median of the threshold at the end of a counted day above the right one, in spreads.
    """

    kind: str
    seed: int
    asked: float
    raised: float
    minutes: float
    first: float
    second: float
    later: float
    ratio: float
    above: float

    def row(self) -> dict[str, object]:
        """Return all of it by name."""
        return asdict(self)


def with_visit(
    margins: NDArray[np.float64], event: float, raised: float, minutes: float, begin: int
) -> tuple[NDArray[np.float64], int]:
    """Return a day's margins with a visit, and the sample at which its second event begins.

    Args:
        margins: Margins of the day.
        event: Height of both events above the margins.
        raised: Height above the margins between them.
        minutes: Time between them.
        begin: Sample at which the first event begins.
    """
    margins, second = margins.copy(), begin + EVENT + int(60 * minutes * FPS)
    margins[begin + EVENT : second] += raised
    for start in (begin, second):
        margins[start : start + EVENT] += event
    return margins, second


def run_stays(
    kind: str, seed: int, setting: Setting, truth: Truth, stay: tuple[float, float]
) -> StaysRun:
    """Learn on a stream with a visit a day, and count.

    Args:
        kind: Its kind.
        seed: Its seed.
        setting: What is asked for.
        truth: True rates of the kind.
        stay: One of ``STAYS``.
    """
    raised, minutes = stay
    right, spread = truth.level(setting.asked), truth.spread
    loop = ClosedLoop(first_rule(kind, truth), setting.asked)
    visits: list[tuple[int, int]] = []
    later: list[bool] = []
    levels: list[float] = []
    for number, day in enumerate(islice(stream(kind, seed), setting.days)):
        begin = int(np.random.default_rng([seed, number, 11]).integers(_HOUR, DAY - _HOUR))
        event = right + _HEIGHT * spread
        margins, second = with_visit(day.margins, event, raised * spread, minutes, begin)
        visits.append((number * DAY + begin, number * DAY + second))
        for hour in margins.reshape(-1, _HOUR):
            loop.watch(hour)
            above = (loop.calibration.rule.threshold - loop.calibration.baseline - right) / spread
            if number >= setting.warm_up:
                later.append(above <= _SURELY)
        if number >= setting.warm_up:
            levels.append(above)
    counted = [visit for visit in visits if visit[0] >= setting.warm_up * DAY]
    alarms = [alarm for alarm in loop.alarms if alarm >= setting.warm_up * DAY]
    caught = [
        [any(comes_from(event, alarm) for alarm in alarms) for event in visit] for visit in counted
    ]
    false = [
        alarm
        for alarm in alarms
        if not any(one <= alarm <= two or comes_from(two, alarm) for one, two in counted)
    ]
    first, second_ = np.mean(caught, axis=0).tolist()
    ratio = len(false) / (setting.counted * setting.asked)
    return StaysRun(
        kind, seed, setting.asked, raised, minutes, first, second_, float(np.mean(later)), ratio,
        float(np.median(levels)),
    )  # fmt: skip


def stays_table(runs: Sequence[StaysRun]) -> Table:
    """Return the table, with the means of the runs; ``above`` and the false alarms are medians."""
    table = Table(
        "stream", "asked", "stays", "first event", "second", "later", "false by asked",
        "threshold above the right one", title="A visit a day: two events, and who stays between",
    )  # fmt: skip
    for kind, asked, raised, minutes in dict.fromkeys(
        (run.kind, run.asked, run.raised, run.minutes) for run in runs
    ):
        own = [
            run
            for run in runs
            if (run.kind, run.asked, run.raised, run.minutes) == (kind, asked, raised, minutes)
        ]
        shares = np.mean([(run.first, run.second, run.later) for run in own], axis=0)
        table.add_row(
            kind, f"{asked:g}/day", f"{minutes:g} min, +{raised:g}" if raised else "nobody",
            *(f"{share:.2f}" for share in shares), f"{np.median([run.ratio for run in own]):.2f}",
            f"{np.median([run.above for run in own]):.2f}",
        )  # fmt: skip
    return table


def plot_stays(path: Path, runs: Sequence[StaysRun]) -> None:
    """Draw how far the threshold is above the right one, one panel for each rate.

    Args:
        path: Picture to write.
        runs: The runs.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415  an extra

    asked = list(dict.fromkeys(run.asked for run in runs))
    kinds = list(dict.fromkeys(run.kind for run in runs))
    figure = Figure(figsize=(5 * len(asked), 4), dpi=110, layout="constrained")
    for axes, rate in zip(figure.subplots(1, len(asked), squeeze=False).flat, asked, strict=True):
        for place, (raised, minutes) in enumerate(STAYS):
            stay = (rate, raised, minutes)
            own = [run for run in runs if (run.asked, run.raised, run.minutes) == stay]
            axes.scatter(
                [kinds.index(run.kind) + 0.2 * (place - 1) for run in own],
                [run.above for run in own],
                label=f"{minutes:g} min, +{raised:g}" if raised else "nobody stays",
            )
        axes.axhline(0, color="0.6")
        axes.set(title=f"{rate:g} a day", ylabel="threshold above the right one, spreads")
        axes.set_xticks(range(len(kinds)), kinds)
        axes.legend()
    figure.savefig(path)
