"""Tables for a terminal, of words that may come from anybody's bundle; bars of long work."""

from typing import Final

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

# Where nobody reads along, a row is one line, however long.
_NO_WRAP: Final = 100_000


def wide_console() -> Console:
    """Standard output; a row is cut for a terminal only."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _NO_WRAP
    return console


def progress_bars(*more: ProgressColumn, shown: bool = True) -> Progress:
    """A line for each step of long work, on standard error: name, bar, time, ``more``."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        *more,
        console=Console(stderr=True),
        disable=not shown,
    )


def plain_table(*columns: str) -> Table:
    """An empty table with these heads."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column)
    return table


def safe_text(words: str) -> Text:
    """A bundle of unknown origin must not steer the terminal that shows it."""
    return Text("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in words))


def megabytes(size: int) -> str:
    """``27.0 MB``; what is small in bytes."""
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size:,} bytes"
