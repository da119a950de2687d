"""Compares the allowed false alarms per day with the alarms that thresholds really cause.

``python -m benchmarks.studies.false_alarms`` learns thresholds on streams with known properties
(``streams``) and counts the alarms that each threshold causes on a very long stream of the same
kind. The other methods are a fixed threshold that was right on another camera, a running z-score,
and the textbook's tail (generalized Pareto by probability-weighted moments, Hosking and Wallis
1987, above the 99 % quantile of single samples). The event machine itself makes and counts the
alarms.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.studies.false_alarms.measure import RULES, closed_loop, cost, measure
from benchmarks.studies.false_alarms.streams import STREAMS


def _rows(
    runs: int, days: int, kinds: Sequence[str], rules: Sequence[str]
) -> Iterator[dict[str, object]]:
    jobs = [(kind, rule, runs, days) for rule in rules for kind in kinds]
    with ProcessPoolExecutor(2) as pool:
        for rows in pool.map(measure, *zip(*jobs, strict=True)):
            yield from rows


def _table(rows: Sequence[Mapping[str, object]]) -> Table:
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
    return table


def main(
    runs: Annotated[int, typer.Option(help="Thresholds learned for each kind.", min=1)] = 20,
    days: Annotated[int, typer.Option(help="Length of the stream that counts.", min=20)] = 300,
    stream: Annotated[list[str] | None, typer.Option(help="Only these. Repeatable.")] = None,
    rule: Annotated[list[str] | None, typer.Option(help="Only these. Repeatable.")] = None,
    loop_days: Annotated[int, typer.Option(help="Days of the closed loop; 0 leaves it out.")] = 30,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="The rows as JSON.")] = False,
) -> None:
    """Compare asked with measured false alarms per day, on streams with known properties."""
    kinds = stream or list(STREAMS)
    console = Console(width=120, quiet=as_json)
    rows = list(_rows(runs, days, kinds, rule or list(RULES)))
    console.print(_table(rows))
    loops = {}
    if loop_days:
        with ProcessPoolExecutor(2) as pool:
            names = [kind for kind in ("Gaussian", "correlated 5 s") if kind in STREAMS]
            loops = dict(zip(names, pool.map(closed_loop, names, [loop_days] * 2), strict=True))
    for kind, counts in loops.items():
        console.print(f"closed loop, {kind}, asked 1 a day: {counts}")
    found = cost()
    console.print(found)
    if as_json:
        typer.echo(json.dumps({"rows": rows, "closed_loop": loops, "cost": found}))


if __name__ == "__main__":
    typer.run(main)
