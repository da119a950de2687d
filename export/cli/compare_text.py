"""Prints a comparison of two bundles as tables for a terminal."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from export.cli.tables import megabytes, plain_table, safe_text
from export.compare.likeness import Likeness
from export.compare.rounds import RoundsSummary
from export.compare.two_bundles import (
    NAMES,
    Agreed,
    Compared,
)
from export.proof.agreement import Share

_NONE: Final = "-"


def show(console: Console, compared: Compared) -> None:
    """Print the result of a comparison: costs, then agreement, then notes."""
    console.print(_costs(compared))
    if compared.agreed is not None:
        console.print(_agreement(compared.agreed))
    for note in compared.notes:
        console.print(safe_text(f"note: {note}"))


def _costs(compared: Compared) -> Table:
    """Return the table of costs: a row for each cost, a column for each bundle."""
    a, b = (compared.costs[name] for name in NAMES)
    table = plain_table("", *NAMES, "A by B")

    def add(
        title: str, one: float | None, other: float | None, in_words: Callable[[Any], str]
    ) -> None:
        cells = [_NONE if number is None else in_words(number) for number in (one, other)]
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
    """Return the table of agreement: a row for each measure, a column for each variant."""
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
    for title, in_words in rows.items():
        table.add_row(title, *map(in_words, agreed.rows.values()))
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


def _ms(spread: RoundsSummary | None) -> str:
    return _rounds(spread, ".3g")


def _rounds(spread: RoundsSummary | None, form: str) -> str:
    if spread is None:
        return _NONE
    return f"{spread.median:{form}} ({spread.low:{form}} … {spread.high:{form}})"
