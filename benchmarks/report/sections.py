"""Draws tables: for a terminal, or as Markdown for a document."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table


@dataclass(frozen=True, slots=True)
class ReportSection:
    """Table whose first column is words and whose other columns are numbers.

    Attributes:
        title: Title above the table.
        columns: Headings of the columns; all empty for a table without headings.
        rows: Cells, row by row.
        notes: Sentences below the table.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def show(console: Console, sections: Sequence[ReportSection]) -> None:
    """Print tables for a terminal."""
    for section in sections:
        console.print(f"\n[bold]{escape(section.title)}[/]")
        table = Table(
            box=box.SIMPLE_HEAD,
            show_header=any(section.columns),
            pad_edge=False,
            collapse_padding=True,
        )
        for index, column in enumerate(section.columns):
            words = index == 0 or not any(section.columns)
            table.add_column(
                column,
                justify="left" if words else "right",
                overflow="fold",
                no_wrap=any(section.columns),
            )
        for row in section.rows:
            table.add_row(*map(escape, row), style="red" if "FAILED" in row else None)
        console.print(table)
        for note in section.notes:
            console.print(note, markup=False, highlight=False, soft_wrap=True)


def to_markdown(sections: Sequence[ReportSection]) -> str:
    """Return the tables as Markdown for a document."""
    return "\n\n".join(_markdown(section) for section in sections) + "\n"


def milliseconds(value: float) -> str:
    """Format milliseconds with about three digits."""
    return f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def _markdown(section: ReportSection) -> str:
    align = ["---", *("---:" if any(section.columns) else "---" for _ in section.columns[1:])]
    lines = [section.columns, tuple(align), *section.rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join([f"### {section.title}", table, *section.notes])
