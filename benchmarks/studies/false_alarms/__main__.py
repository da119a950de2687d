"""Compares asked with measured false alarms per day, in closed loop.

``python -m benchmarks.studies.false_alarms`` runs the daemon's calibration on streams of many kinds
(``streams``) and prints for each: alarms per day by those asked for, whether the stated interval
holds, how far the threshold wanders, how many alarms one jump of the level causes, and the recall
of planted events by that of an oracle that knows the kind (``closed``). Other methods run on the
same streams (``methods``).
"""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.studies.false_alarms import beginnings, by_hour, by_light, stays
from benchmarks.studies.false_alarms.beginnings import (
    StartRun,
    plot_start,
    run_start,
    start_table,
)
from benchmarks.studies.false_alarms.by_hour import HoursRun, hours_table, plot_hours, run_hours
from benchmarks.studies.false_alarms.by_light import LightRun, light_table, plot_light, run_light
from benchmarks.studies.false_alarms.closed import RULE, SETTINGS, ClosedRun, cost, run_closed
from benchmarks.studies.false_alarms.methods import run_others
from benchmarks.studies.false_alarms.stays import StaysRun, plot_stays, run_stays, stays_table
from benchmarks.studies.false_alarms.streams import STREAMS, stream
from benchmarks.studies.false_alarms.summary import (
    OWN,
    check_plot,
    methods_table,
    own_table,
    plot,
    summed_up,
)
from benchmarks.studies.false_alarms.truth import Truth, true_rates
from edge.errors import ConfigError

_Other = dict[str, object]
_Run = TypeVar("_Run")
_Row = TypeVar("_Row", HoursRun, StartRun, StaysRun, LightRun)


class StudyPart(StrEnum):
    """A part of the study."""

    rates = "rates"
    hours = "hours"
    start = "start"
    stays = "stays"
    light = "light"


def _libspot() -> Any | None:
    try:
        import libspot  # noqa: PLC0415  an extra
    except ImportError:
        return None
    return libspot


def _truth(kind: str) -> Truth:
    return true_rates(kind, RULE)


def _stream(
    kind: str, seed: int, truth: Truth, planted: float
) -> tuple[list[ClosedRun], list[_Other]]:
    days = list(islice(stream(kind, seed), max(setting.days for setting in SETTINGS)))
    own = [run_closed(days, kind, seed, setting, truth, planted) for setting in SETTINGS]
    return own, run_others(days, kind, seed, truth, _libspot(), planted)


def study(
    kinds: Sequence[str], seeds: int, planted: float, workers: int
) -> tuple[list[ClosedRun], list[_Other]]:
    """Run all methods on ``seeds`` streams of each kind; the runs are in the order of the kinds.

    Args:
        kinds: Kinds of streams.
        seeds: Number of streams of each kind.
        planted: Real events per day in the streams.
        workers: Number of processes.
    """
    console = Console(stderr=True)
    with ProcessPoolExecutor(workers) as pool:
        truths = dict(
            zip(
                kinds,
                track(pool.map(_truth, kinds), "true rates", len(kinds), console=console),
                strict=True,
            )
        )
        jobs = {
            pool.submit(_stream, kind, seed, truths[kind], planted): (place, seed)
            for seed in range(seeds)
            for place, kind in enumerate(kinds)
        }
        done = track(as_completed(jobs), "streams", len(jobs), console=console)
        found = {jobs[job]: job.result() for job in done}
    ordered = [found[place] for place in sorted(found)]
    return [run for own, _ in ordered for run in own], [row for _, rows in ordered for row in rows]


def _hours(kind: str, seed: int, truth: Truth) -> list[HoursRun]:
    return [
        run_hours(kind, seed, setting, truth, even=even)
        for setting in by_hour.ASKED
        for even in (False, True)
    ]


def _starts(kind: str, seed: int, truth: Truth) -> list[StartRun]:
    return [run_start(kind, seed, truth, start) for start in beginnings.SIDES]


def _stays(kind: str, seed: int, truth: Truth) -> list[StaysRun]:
    return [
        run_stays(kind, seed, setting, truth, stay)
        for setting in stays.ASKED
        for stay in stays.STAYS
    ]


def _lights(kind: str, seed: int, truth: Truth) -> list[LightRun]:
    return [run_light(kind, seed, truth, apart=apart) for apart in (False, True)]


def _each(
    job: Callable[[str, int, Truth], list[_Run]], kinds: Sequence[str], seeds: int, workers: int
) -> list[_Run]:
    """Run a job on ``seeds`` streams of each kind; the runs are in the order of the kinds."""
    console = Console(stderr=True)
    both = [(kind, seed) for kind in kinds for seed in range(seeds)]
    with ProcessPoolExecutor(workers) as pool:
        truths = dict(zip(kinds, pool.map(_truth, kinds), strict=True))
        found = pool.map(job, *zip(*((*one, truths[one[0]]) for one in both), strict=True))
        return [run for runs in track(found, "streams", len(both), console=console) for run in runs]


def _check(kinds: Sequence[str], out: Path | None) -> None:
    """Check what the user wants before the work starts.

    Raises:
        ConfigError: A kind is unknown, or the plot could not be written.
    """
    if unknown := sorted({*kinds} - {*STREAMS}):
        raise ConfigError(f"expected one of {', '.join(STREAMS)}; found {unknown[0]!r}")
    if out is not None:
        check_plot(out.with_suffix(".png"))


def _tell(
    runs: list[_Row],
    table: Callable[[list[_Row]], Table],
    draw: Callable[[Path, list[_Row]], None],
    out: Path | None,
    *,
    as_json: bool,
) -> None:
    rows = [run.row() for run in runs]
    if out is not None:
        out.write_text(json.dumps(rows))
        draw(out.with_suffix(".png"), runs)
    if as_json:
        typer.echo(json.dumps(rows))
    else:
        Console(width=150).print(table(runs))


def _small(
    part: StudyPart,
    kinds: Sequence[str],
    seeds: int,
    workers: int,
    out: Path | None,
    *,
    as_json: bool,
) -> None:
    """Run a part of the study that has no other methods."""
    if part is StudyPart.hours:
        _tell(_each(_hours, kinds, seeds, workers), hours_table, plot_hours, out, as_json=as_json)
    elif part is StudyPart.start:
        _tell(_each(_starts, kinds, seeds, workers), start_table, plot_start, out, as_json=as_json)
    elif part is StudyPart.stays:
        _tell(_each(_stays, kinds, seeds, workers), stays_table, plot_stays, out, as_json=as_json)
    else:
        _tell(_each(_lights, kinds, seeds, workers), light_table, plot_light, out, as_json=as_json)


def main(
    seeds: Annotated[int, typer.Option(help="Streams of each kind.", min=1)] = 8,
    kind: Annotated[
        list[str] | None, typer.Option("--stream", help="Only these kinds. Repeatable.")
    ] = None,
    part: Annotated[
        StudyPart,
        typer.Option(
            help="rates; hours: by hour of the day; start: the first days; "
            "stays: somebody who stays; light: by day and by night."
        ),
    ] = StudyPart.rates,
    planted: Annotated[
        float, typer.Option(help="Real events a day in what is learned.", min=0)
    ] = 0.0,
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 2,
    out: Annotated[
        Path | None, typer.Option(help="File for the JSON; a plot comes beside it.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, no tables.")] = False,
) -> None:
    """Compare asked with measured false alarms per day on many kinds of streams."""
    usual = {
        StudyPart.rates: STREAMS,
        StudyPart.hours: by_hour.KINDS,
        StudyPart.start: beginnings.KINDS,
        StudyPart.stays: stays.KINDS,
        StudyPart.light: tuple(by_light.NIGHTS),
    }[part]
    kinds = list(dict.fromkeys(kind or usual))
    try:
        _check(kinds, out)
    except ConfigError as exc:
        typer.echo(str(exc), err=True)
        raise typer.Exit(exc.exit_code) from exc
    if part is not StudyPart.rates:
        _small(part, kinds, seeds, workers, out, as_json=as_json)
        return
    if _libspot() is None:
        typer.echo(
            "SPOT and DSPOT are left out: they need libspot, found none; install it with: "
            "pip install 'camera-edge-runtime[study]'",
            err=True,
        )
    runs, others = study(kinds, seeds, planted, workers)
    summary = summed_up(runs)
    keys = ("kind", "asked", "ratio", "within", "caught")
    own: list[_Other] = [
        {"method": OWN, **{key: getattr(run, key) for key in keys}} for run in runs
    ]
    found = {
        "summary": summary,
        "runs": [run.row() for run in runs],
        "others": others,
        "cost": cost(),
    }
    if out is not None:
        out.write_text(json.dumps(found))
        plot(out.with_suffix(".png"), [*own, *others])
    if as_json:
        typer.echo(json.dumps(found))
        return
    console = Console(width=150)
    console.print(own_table(summary))
    console.print(methods_table([*own, *others]))
    console.print(found["cost"])


if __name__ == "__main__":
    typer.run(main)
