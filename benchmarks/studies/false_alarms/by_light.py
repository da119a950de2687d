"""Counts the alarms by day and by night, with one threshold for both and with one for each.

``python -m benchmarks.studies.false_alarms --part light``. The daemon's calibration runs in closed
loop, sample by sample, and is given the light that a camera would tell.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from rich.table import Table

from benchmarks.studies.false_alarms.closed import SETTINGS, Setting, first_rule
from benchmarks.studies.false_alarms.streams import DAY, FPS, stream
from benchmarks.studies.false_alarms.truth import Truth
from edge.alerts.events import EventMachine
from edge.alerts.threshold import EVERYWHERE, Calibration
from edge.video.sample import Arrival

NIGHTS: Final = {"day and night": (12, 24), "street": (20, 7), "rain nights": (0, 6)}
"""Kinds, and the hours at which night begins and ends."""
ASKED: Final = SETTINGS[0]

_MONDAY_S: Final = 4 * 86_400.0


@dataclass(frozen=True, slots=True)
class LightRun:
    """What one run found.

    Attributes:
        kind: Kind of stream.
        seed: Seed of the stream.
        apart: Whether day and night were told apart.
        ratio: Alarms on the counted days by those asked for.
        by_night: Share of them that came by night; None where none came.
    """

    kind: str
    seed: int
    apart: bool
    ratio: float
    by_night: float | None

    def row(self) -> dict[str, object]:
        """Return all of it by name."""
        return asdict(self)


def run_light(
    kind: str, seed: int, truth: Truth, *, apart: bool, setting: Setting = ASKED
) -> LightRun:
    """Learn on a stream, and count by day and by night.

    Args:
        kind: One of ``NIGHTS``.
        seed: Its seed.
        truth: True rates of the kind.
        apart: Whether day and night are told apart.
        setting: What is asked for.
    """
    rule = first_rule(kind, truth)
    calibration, machine = Calibration(rule, setting.asked, zone=UTC), EventMachine(rule)
    begins, ends = (hour * DAY // 24 for hour in NIGHTS[kind])
    dark = np.arange(DAY) >= begins
    dark = dark | (np.arange(DAY) < ends) if ends < begins else dark & (np.arange(DAY) < ends)
    alarms: list[int] = []
    for number, day in enumerate(islice(stream(kind, seed), setting.days)):
        both = zip(day.margins.tolist(), dark.tolist(), strict=True)
        for position, (margin, night) in enumerate(both, number * DAY):
            at = position / FPS
            machine.rule = calibration.rule
            changes = machine.step(margin, 0.0, Arrival(at, at, None))
            if any(change.type == "start" for change in changes):
                alarms.append(position)
            light = ("night" if night else "day") if apart else EVERYWHERE
            alerting = machine.alerting or bool(changes)
            calibration.observe(margin, at, alerting=alerting, regime=light, wall=_MONDAY_S + at)
    counted = np.array([at for at in alarms if at >= setting.warm_up * DAY], np.int64)
    ratio = len(counted) / (setting.counted * setting.asked)
    by_night = float(dark[counted % DAY].mean()) if len(counted) else None
    return LightRun(kind, seed, apart, ratio, by_night)


def light_table(runs: Sequence[LightRun]) -> Table:
    """Return the table, with medians of the runs."""
    table = Table("stream", "thresholds", "measured by asked", "by night", title="10 a day asked")
    for kind, apart in dict.fromkeys((run.kind, run.apart) for run in runs):
        own = [run for run in runs if (run.kind, run.apart) == (kind, apart)]
        nights = [run.by_night for run in own if run.by_night is not None]
        table.add_row(
            kind,
            "day and night" if apart else "common",
            f"{np.median([run.ratio for run in own]):.2f}",
            f"{np.median(nights):.0%}" if nights else "",
        )
    return table


def plot_light(path: Path, runs: Sequence[LightRun]) -> None:
    """Draw the alarms by asked, and the share by night.

    Args:
        path: Picture to write.
        runs: The runs.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415  an extra

    figure = Figure(figsize=(6, 4), dpi=110, layout="constrained")
    axes = figure.subplots()
    for apart in (False, True):
        own = [run for run in runs if run.apart == apart and run.by_night is not None]
        axes.scatter(
            [run.ratio for run in own],
            [run.by_night or 0.0 for run in own],
            label="day and night" if apart else "common",
        )
    axes.set(xlabel="measured by asked", ylabel="share by night")
    axes.legend(title="thresholds")
    figure.savefig(path)
