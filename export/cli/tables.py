"""Makes tables and progress bars for a terminal; words from a foreign bundle are made safe."""

from typing import Final

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from edge.system.visible import printable

# Width where the output is not a terminal: a row is then one line, however long.
NO_WRAP: Final = 100_000


def wide_console() -> Console:
    """Return a console on standard output; rows are cut only for a terminal."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = NO_WRAP
    return console


def progress_bars(*more: ProgressColumn, shown: bool = True) -> Progress:
    """Return a display on standard error with a line per step: name, bar, time, ``more``."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        *more,
        console=Console(stderr=True),
        disable=not shown,
    )


def plain_table(*columns: str) -> Table:
    """Return an empty table with these column heads."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column)
    return table


def safe_text(words: str) -> Text:
    """Return words without control characters: a foreign bundle must not steer the terminal."""
    return Text(printable(words))


def megabytes(size: int) -> str:
    """Return a size in words: ``27.0 MB``, or bytes for small sizes."""
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size:,} bytes"
