"""``edge-export compare``: what a smaller model saves, and what it loses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from calibration.footage import files_of
from edge.cli.plot import check_plot
from edge.errors import ConfigError
from edge.model.bundle.read import open_bundle
from export.cli.tables import megabytes, plain_table, progress_bars, safe_text, wide_console
from export.compare.likeness import Likeness
from export.compare.plot import plot_compared
from export.compare.rounds import Spread
from export.compare.two_bundles import (
    NAMES,
    Agreed,
    Compared,
    Settings,
    compare,
    costs_only,
    document,
)
from export.default_bundle.frames import FPS, default_files
from export.packages.fetch import default_cache
from export.proof.agreement import Share
from export.proof.sentences import SENTENCES

app = typer.Typer()

_NONE: Final = "-"
_DEFAULTS: Final = Settings()


@app.command("compare")
def compare_(  # noqa: PLR0913 its options
    one: Annotated[Path, typer.Argument(metavar="A", help="The reference, such as a teacher.")],
    other: Annotated[Path, typer.Argument(metavar="B", help="What is to take its place.")],
    footage: Annotated[
        Path | None,
        typer.Option(help="A picture, a video or a folder. [default: a street, photographs]"),
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(help="A sentence to choose among; repeat it. [default: two dozen]"),
    ] = None,
    pictures: Annotated[
        int, typer.Option(min=2, help="The most pictures that are compared.")
    ] = _DEFAULTS.pictures,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each variant.")] = _DEFAULTS.rounds,
    seconds: Annotated[float, typer.Option(min=0.001, help="Of each turn.")] = _DEFAULTS.turn_s,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw time against agreement.")
    ] = None,
    *,
    offline: Annotated[
        bool, typer.Option("--offline", help="Touch no network; use the cache only.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Show what bundle B saves against A and how often it says the same, as of a student.

    Examples: `edge-export compare bundles/teacher bundles/student`,
    `edge-export compare bundles/teacher bundles/student --footage yard/ --prompt "a person"
    --prompt "an empty yard" --plot cost.png`

    Work, size and time on one thread, in turns; then cosines, the first choice among the
    sentences, retrieval and alerts on the same pictures. Both bundles are of class F.
    """
    a, b = open_bundle(one), open_bundle(other)
    reason = costs_only(a, b)
    if plot is not None:
        if reason is not None:
            raise ConfigError(f"--plot: expected embeddings that compare, found {reason}")
        check_plot(plot)
    settings = Settings(
        sentences=tuple(prompt or SENTENCES),
        rounds=rounds,
        turn_s=seconds,
        fps=_DEFAULTS.fps if footage else FPS,
        pictures=pictures,
    )
    with progress_bars() as progress:
        files: list[Path] = []
        if footage is not None:
            files = files_of(footage)
        elif reason is None:
            files = default_files(default_cache(), offline=offline, progress=progress)
        compared = compare(a, b, files, settings, progress)
    if plot is not None and compared.agreed is not None:
        plot_compared(plot, compared, compared.agreed)
    if as_json:
        typer.echo(json.dumps(document(compared), ensure_ascii=False))
    else:
        _tell(wide_console(), compared)


def _tell(console: Console, compared: Compared) -> None:
    console.print(_costs(compared))
    if compared.agreed is not None:
        console.print(_agreement(compared.agreed))
    for note in compared.notes:
        console.print(safe_text(f"note: {note}"))


def _costs(compared: Compared) -> Table:
    """A row for each thing that costs, a column for each bundle."""
    a, b = (compared.costs[name] for name in NAMES)
    table = plain_table("", *NAMES, "A by B")

    def add(title: str, one: float | None, other: float | None, told: Callable[[Any], str]) -> None:
        cells = [_NONE if number is None else told(number) for number in (one, other)]
        table.add_row(title, *cells, f"{one / other:.2f}" if one and other else _NONE)

    macs = [costs.work.macs if costs.work else None for costs in (a, b)]
    add("multiply-accumulates", macs[0], macs[1], lambda number: f"{number / 1e9:.4g} G")
    weights = [costs.work.parameters if costs.work else None for costs in (a, b)]
    add("parameters", weights[0], weights[1], lambda number: f"{number / 1e6:.4g} M")
    for precision in dict.fromkeys((*a.sizes, *b.sizes)):
        add(f"image {precision}", a.sizes.get(precision), b.sizes.get(precision), megabytes)
    add("whole bundle", a.total, b.total, megabytes)
    for variant in dict.fromkeys((*a.ms, *b.ms)):
        cells = [_ms(costs.ms.get(variant)) for costs in (a, b)]
        table.add_row(f"{variant}, ms", *cells, _rounds(compared.ratios.get(variant), ".2f"))
    return table


def _agreement(agreed: Agreed) -> Table:
    """A row for each measure, a column for each variant."""
    table = plain_table(
        f"against A {agreed.reference}, {agreed.pictures} pictures of {agreed.seen}", *agreed.rows
    )
    rows: dict[str, Callable[[Likeness], str]] = {
        "cosine: mean, worst": lambda one: _cosines(one.cosines),
        "without A's mean: mean, worst": lambda one: _cosines(one.centred),
        f"same first of {len(agreed.sentences)} sentences": lambda one: _share(_chosen(one)),
        "finds its own among the pictures": lambda one: _share(one.measured.finds_itself),
        f"same alerts at {agreed.threshold:g}": lambda one: _share(one.measured.alerts),
    }
    for title, told in rows.items():
        table.add_row(title, *map(told, agreed.rows.values()))
    return table


def _chosen(one: Likeness) -> Share | None:
    chosen = one.measured.same_prompt
    return None if chosen is None else chosen.share


def _cosines(rows: NDArray[np.float64]) -> str:
    return f"{rows.mean():.4f}, {rows.min():.4f}"


def _share(share: Share | None) -> str:
    if share is None:
        return _NONE
    low, high = (100 * end for end in share.interval)
    return f"{share.count} of {share.total}, {100 * share.value:.1f} % ({low:.0f} … {high:.0f})"


def _ms(spread: Spread | None) -> str:
    return _rounds(spread, ".3g")


def _rounds(spread: Spread | None, form: str) -> str:
    if spread is None:
        return _NONE
    return f"{spread.median:{form}} ({spread.low:{form}} … {spread.high:{form}})"
