"""Sums up runs by kind of stream, as a table and a plot."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from rich.table import Table

from benchmarks.studies.false_alarms.closed import HEIGHTS, SETTINGS, ClosedRun
from benchmarks.studies.false_alarms.streams import HELD_OUT
from edge.errors import ConfigError

Rows = Sequence[Mapping[str, object]]

OWN: Final = "new"
_METHODS: Final = (
    OWN, "count matching", "Pareto (PWM)", "SPOT", "DSPOT", "running z-score", "fixed",
)  # fmt: skip
_THREE: Final = HEIGHTS.index(3)


def summed_up(runs: Sequence[ClosedRun]) -> list[dict[str, object]]:
    """Return what the runs of each kind and setting say together.

    ``median``, ``low`` (5 %) and ``high`` (95 %) are measured by asked alarms; ``within`` and
    ``covered`` are shares of the runs; ``wander`` is a median in spreads, ``from_a_jump`` the most
    of all runs; ``recall`` is a mean, of events three spreads above the true level, by the
    oracle's.
    """
    rows: list[dict[str, object]] = []
    for kind in dict.fromkeys(run.kind for run in runs):
        for setting in SETTINGS:
            own = [run for run in runs if (run.kind, run.asked) == (kind, setting.asked)]
            ratios = [run.ratio for run in own]
            covered = [run.covered for run in own if run.covered is not None]
            jumps = [run.from_a_jump for run in own if run.from_a_jump is not None]
            recalls = [run.recall[_THREE] / run.oracle[_THREE] for run in own if run.oracle[_THREE]]
            caught = [run.caught for run in own if run.caught is not None]
            rows.append(
                {
                    "kind": kind,
                    "held_out": kind in HELD_OUT,
                    "asked": setting.asked,
                    "runs": len(own),
                    "median": float(np.median(ratios)),
                    "low": float(np.quantile(ratios, 0.05)),
                    "high": float(np.quantile(ratios, 0.95)),
                    "within": float(np.mean([run.within for run in own])),
                    "covered": float(np.mean(covered)) if covered else None,
                    "wander": float(np.median([run.wander for run in own])),
                    "from_a_jump": max(jumps) if jumps else None,
                    "recall": float(np.nanmean(recalls)) if recalls else None,
                    "caught": float(np.mean(caught)) if caught else None,
                }
            )
    return rows


def own_table(rows: Rows) -> Table:
    """Return the table of the daemon's own method."""
    table = Table(
        "stream", "asked", "measured by asked, 5..95 %", "within", "interval holds", "wander",
        "one jump", "recall", "caught", title="Held-out kinds have a star",
    )  # fmt: skip
    for row in rows:
        table.add_row(
            f"{row['kind']}{' *' if row['held_out'] else ''}", f"{row['asked']:g}/day",
            f"{row['median']:.2f}, {row['low']:.2f}..{row['high']:.2f}", f"{row['within']:.0%}",
            _shown(row["covered"], ".0%"), f"{row['wander']:.2f}", _shown(row["from_a_jump"], "d"),
            _shown(row["recall"], ".2f"), _shown(row["caught"], ".2f"),
        )  # fmt: skip
    return table


def methods_table(rows: Rows) -> Table:
    """Return the table of all methods: median of measured by asked, and share within the factor.

    Args:
        rows: Rows with ``kind``, ``asked``, ``method``, ``ratio``, ``within`` and ``caught``, one
            a run.
    """
    found = {row["method"] for row in rows}
    methods = [method for method in _METHODS if method in found]
    table = Table(
        "stream",
        "asked",
        *methods,
        title="Measured by asked (median), runs within, real events caught",
    )
    for kind in dict.fromkeys(row["kind"] for row in rows):
        for setting in SETTINGS:
            cells = []
            for method in methods:
                own = [
                    row
                    for row in rows
                    if (row["kind"], row["asked"], row["method"]) == (kind, setting.asked, method)
                ]
                ratios = np.array([row["ratio"] for row in own], float)
                within = np.array([row["within"] for row in own], float)
                cells.append(f"{np.median(ratios):.2f} {within.mean():.0%}" if own else "")
                caught = [row["caught"] for row in own if row["caught"] is not None]
                if caught:
                    cells[-1] += f" {np.mean(np.array(caught, float)):.2f}"
            table.add_row(str(kind), f"{setting.asked:g}/day", *cells)
    return table


def check_plot(path: Path) -> None:
    """Check before the work starts that ``plot`` can write ``path``.

    Raises:
        ConfigError: matplotlib is not installed, or there is no such folder.
    """
    try:
        import matplotlib  # noqa: F401, ICN001, PLC0415  an extra
    except ImportError as exc:
        raise ConfigError(
            "a plot needs matplotlib, found none; install it with: "
            "pip install 'camera-edge-runtime[study]'"
        ) from exc
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"{path}: expected an existing folder, found no {path.parent}")


def plot(path: Path, rows: Rows) -> None:
    """Draw the runs of all methods, one panel for each setting.

    Args:
        path: Picture to write.
        rows: As for ``methods_table``.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415  an extra

    kinds = list(dict.fromkeys(str(row["kind"]) for row in rows))
    figure = Figure(figsize=(16, 2 + 0.3 * len(kinds)), dpi=110, layout="constrained")
    for axes, setting in zip(figure.subplots(1, len(SETTINGS), sharey=True), SETTINGS, strict=True):
        axes.axvspan(1 / setting.factor, setting.factor, color="0.9")
        axes.axvline(1, color="0.6")
        for place, method in enumerate(_METHODS):
            own = [row for row in rows if (row["method"], row["asked"]) == (method, setting.asked)]
            if own:
                axes.scatter(
                    np.clip(np.array([row["ratio"] for row in own], float), 0.02, 50),
                    [kinds.index(str(row["kind"])) + 0.08 * (place - 3) for row in own],
                    color=f"C{place}",
                    s=14 if method == OWN else 5,
                    label=method,
                )
        axes.set(xscale="log", xlim=(0.015, 70), xlabel=f"measured by {setting.asked:g} a day")
        axes.set_yticks(range(len(kinds)), kinds)
        axes.grid(axis="y", linewidth=0.3)
    figure.axes[0].invert_yaxis()
    figure.legend(*figure.axes[1].get_legend_handles_labels(), loc="outside upper center", ncols=7)
    figure.savefig(path)


def _shown(value: object, form: str) -> str:
    return "" if value is None else format(value, form)
